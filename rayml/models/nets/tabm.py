"""TabM: an ensemble of MLPs inside one network."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's documentation uses
from torch import Tensor, nn

from rayml.errors import ConfigError
from rayml.models.layers.dropout import Dropout
from rayml.models.layers.embedding import FeatureEmbedding
from rayml.models.layers.folded import Forward, affine
from rayml.models.layers.member_layers import AdaptedLinear, MemberLinear, Scale, SharedLinear
from rayml.models.layers.numeric import NumericKind, NumericOptions, Vectors
from rayml.models.modules.pooling import MemberNet
from rayml.types import FeatureShape

Form = Literal["mini", "full", "packed"]
Hidden = SharedLinear | AdaptedLinear | MemberLinear


class TabM(MemberNet):
    """Several MLPs that share most of their weights, train side by side and answer as one.

    It is that of Gorishniy et al., "TabM: advancing tabular deep learning with parameter-efficient
    ensembling" (2025): `k` MLPs at once, blocks of linear layer, ReLU and dropout, with a head
    for each. What tells members apart is their head, and by form
    - `mini`: factors that scale the inputs of the first layer, all else is shared;
    - `full`: factors before and behind each shared layer, and biases;
    - `packed`: everything, so that nothing is shared but the embeddings of features.

    The loss is the mean of the members' losses, the answer the mean of their probabilities or
    values.

    Args:
        shape: of the features.
        outputs: columns of the result.
        k: number of members; a sweep makes a number of `auto`, here and of the width.
        form: see above.
        width: units of a hidden layer.
        depth: number of hidden layers.
        dropout: probability of dropping a hidden unit.
        embedding: width of a category's embedding; None derives it from the cardinalities.
        numeric: `none`, `plr`, `plr_lite` or `piecewise`, see `NumericOptions`.
        numeric_width: of a number's vector.
        frequencies: of a number, where it is `plr` or `plr_lite`.
        sigma: standard deviation of the frequencies at the start.
        bins: of a number, where it is `piecewise`; at most 128.

    Attributes:
        stacks: `forward` also takes stacked parameters, [lanes, ...] each.

    Raises:
        ConfigError: there is no such form, no member, or a size is no number.
    """

    stacks = True

    def __init__(
        self,
        shape: FeatureShape,
        outputs: int,
        *,
        k: int | Literal["auto"] = 8,
        form: Form = "mini",
        width: int | Literal["auto"] = 128,
        depth: int = 2,
        dropout: float = 0.1,
        embedding: int | None = None,
        numeric: NumericKind = "none",
        numeric_width: int = 16,
        frequencies: int = 32,
        sigma: float = 0.1,
        bins: int = 32,
    ) -> None:
        if isinstance(k, str) or isinstance(width, str):
            raise ConfigError(
                "model.k or model.width of TabM is still auto, which a sweep alone resolves",
                found=(k, width),
                remedy="Set both to whole numbers, or train the model by `rayml sweep`",
            )
        super().__init__(k)
        if form not in get_args(Form):
            raise ConfigError(
                "model.form is no form of TabM",
                found=form,
                remedy=f"Take one of {', '.join(get_args(Form))}",
            )
        numbers = NumericOptions(numeric, numeric_width, frequencies, sigma, bins)
        self.embedding = FeatureEmbedding(shape, embedding, numbers)
        scale = None if form == "packed" else _scale(self.embedding, shape, k)
        self.scale = scale if form == "mini" else None
        layers: list[nn.Module] = []
        incoming = self.embedding.width
        for place in range(depth):
            first = scale if place == 0 else None
            layers += [_hidden(form, k, incoming, width, first), Dropout(width, dropout)]
            incoming = width
        self.layers = nn.ModuleList(layers)
        self.head = MemberLinear(k, incoming, outputs)

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Map features to [rows, outputs], and while training to [members, rows, outputs].

        Of stacked parameters lanes come first.
        """
        x = self.embedding(numeric, categorical).unsqueeze(-3)
        if self.scale is not None:
            x = self.scale(x)
        for layer in self.layers:
            # Each member drops units of its own.
            x = _of_rows(layer, x) if isinstance(layer, Dropout) else layer(x).relu()
        return self.answer(self.head(x))

    def folded(self) -> Forward | None:
        """A faster forward pass with the outputs of evaluation mode; None in a subclass.

        It shares this model's parameters, which must not change afterwards.
        """
        if type(self) is not TabM:
            return None  # A subclass may map in its own way.
        embedding, pool = self.embedding, self.known_pool()
        scale = None if self.scale is None else self.scale.weight.detach().unsqueeze(-2)
        hidden = [_plain(layer) for layer in self.layers if not isinstance(layer, Dropout)]
        last = _plain(self.head)

        def forward(numeric: Tensor, categorical: Tensor) -> Tensor:
            numbers = numeric if embedding.numbers is None else embedding.numbers(numeric)
            x = embedding.join(numbers, categorical).unsqueeze(0)
            if scale is not None:
                x = x * scale
            for layer in hidden:
                x = layer(x).relu_()
            return pool(last(x))

        return forward


def _scale(embedding: FeatureEmbedding, shape: FeatureShape, members: int) -> Scale:
    """The factors of the first layer's inputs, as the paper draws them.

    Random signs; behind embeddings of numbers normal factors, one for all parts of a feature.
    """
    if embedding.numbers is None:
        return Scale(members, embedding.width, "signs")
    number = embedding.numbers.width // shape.numeric
    category = embedding.table.shape[1]
    chunks = [number] * shape.numeric + [category] * len(shape.cardinalities)
    return Scale(members, embedding.width, "normal", chunks)


def _hidden(form: Form, members: int, incoming: int, outgoing: int, scale: Scale | None) -> Hidden:
    if form == "mini":
        return SharedLinear(incoming, outgoing)
    if form == "full":
        return AdaptedLinear(members, incoming, outgoing, scale)
    return MemberLinear(members, incoming, outgoing)


def _of_rows(layer: nn.Module, x: Tensor) -> Tensor:
    """What a layer makes of the rows of all members, [..., members, rows, width] in and out."""
    result: Tensor = layer(x.flatten(-3, -2)).unflatten(-2, x.shape[-3:-1])
    return result


def _plain(layer: nn.Module) -> Vectors:
    """A trained layer as what maps [members, rows, in] to [members, rows, out]."""
    if isinstance(layer, SharedLinear):
        weight, bias = affine(layer)
        return lambda x: F.linear(x, weight, bias)
    if isinstance(layer, MemberLinear):
        transposed, own = layer.weight.detach().mT, layer.bias.detach().unsqueeze(-2)
        return lambda x: torch.baddbmm(own, x.expand(len(own), -1, -1), transposed)
    assert isinstance(layer, AdaptedLinear)
    before, shared = layer.scale.weight.detach().unsqueeze(-2), layer.weight.detach()
    gain, bias = layer.gain.detach().unsqueeze(-2), layer.bias.detach().unsqueeze(-2)
    return lambda x: torch.addcmul(bias, F.linear(x * before, shared), gain)
