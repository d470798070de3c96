"""The FT-Transformer: attention between the features of a row."""

from __future__ import annotations

from torch import Tensor, nn

from rayml.errors import ConfigError
from rayml.models.layers.attention import Block, Tokens
from rayml.models.layers.linear import LayerNorm, Linear
from rayml.models.layers.numeric import NumericKind, NumericOptions
from rayml.types import FeatureShape


class FTTransformer(nn.Module):
    """The FT-Transformer of Gorishniy et al., "Revisiting deep learning models" (2021).

    Each feature becomes a vector, a token, and a further token stands for the answer. Blocks of
    attention and of a gated layer let the tokens of a row read one another; a linear layer reads
    the answer's. Layers are normalised before a block, but for the first attention.

    Args:
        shape: of the features.
        outputs: columns of the result.
        width: of a token; a multiple of `heads`.
        depth: number of blocks.
        heads: of attention.
        expansion: hidden units of a block's gated layer for each unit of a token.
        attention_dropout: probability of dropping a token that another one reads.
        dropout: probability of dropping a hidden unit of a gated layer.
        residual_dropout: probability of dropping a unit of a block's result.
        numeric: `none` gives a number times a vector, plus another; see `NumericOptions`.
        frequencies: of a number, where it is `plr` or `plr_lite`.
        sigma: standard deviation of the frequencies at the start.
        bins: of a number, where it is `piecewise`; at most 128.

    Attributes:
        stacks: `forward` also takes stacked parameters, [lanes, ...] each.

    Raises:
        ConfigError: the width is no multiple of the heads.
    """

    stacks = True

    def __init__(
        self,
        shape: FeatureShape,
        outputs: int,
        *,
        width: int = 32,
        depth: int = 2,
        heads: int = 4,
        expansion: float = 4 / 3,
        attention_dropout: float = 0.2,
        dropout: float = 0.1,
        residual_dropout: float = 0.0,
        numeric: NumericKind = "none",
        frequencies: int = 32,
        sigma: float = 0.1,
        bins: int = 32,
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ConfigError(
                f"model.width={width} of an FT-Transformer is no multiple of model.heads={heads}",
                remedy="Set model.width to a multiple of model.heads, which is 1 or more",
            )
        self.tokens = Tokens(shape, width, NumericOptions(numeric, width, frequencies, sigma, bins))
        hidden = max(1, round(width * expansion))
        self.blocks = nn.ModuleList(
            Block(
                self.tokens.count,
                width,
                heads,
                hidden,
                (attention_dropout, dropout, residual_dropout),
                first=place == 0,
            )
            for place in range(depth)
        )
        self.norm = LayerNorm(width)
        self.head = Linear(width, outputs)

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Map features to [rows, outputs], or [lanes, rows, outputs]: logits, or a value."""
        x = self.tokens(numeric, categorical)
        for block in self.blocks:
            x = block(x)
        answers = x[..., :: self.tokens.count, :]
        result: Tensor = self.head(self.norm(answers).relu())
        return result
