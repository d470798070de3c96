"""What an encoder of texts is: content of the file `encoder.json` beside its weights.

rayml computes encoders by code of its own, for two reasons: the libraries that run any model do so
by code and settings that its folder names, and with them the bits of a text depend on the texts
that it comes with. So only these are known:

- `static`: the mean of a vector for each token, as of model2vec and of sentence-transformers'
  `StaticEmbedding`.
- `bert`: BERT and those of its structure (MiniLM, RoBERTa, XLM-RoBERTa, CamemBERT).
- `distilbert`: DistilBERT.

The tensors keep the names and types that the model's author gave them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rayml.types import Size, settings

MOST_WIDTH = 4096
MOST_TOKENS = 8192
MOST_LAYERS = 128

Architecture = Literal["static", "bert", "distilbert"]
Activation = Literal["gelu", "gelu_tanh", "relu"]
Pooling = Literal["mean", "cls", "max"]

Width = Annotated[int, Field(ge=1, le=MOST_WIDTH)]


@settings
class TransformerSpec:
    """The sizes of a transformer.

    Attributes:
        layers: number of them.
        heads: of attention in each layer; they divide the width.
        inner: width between the two products of a layer.
        activation: between them.
        epsilon: of the layer norms.
        positions: rows of the table of positions.
        first_position: row of the first token.
    """

    layers: Annotated[int, Field(ge=1, le=MOST_LAYERS)]
    heads: Annotated[int, Field(ge=1, le=MOST_WIDTH)]
    inner: Annotated[int, Field(ge=1, le=16 * MOST_WIDTH)]
    activation: Activation
    epsilon: Annotated[float, Field(gt=0, lt=1)]
    positions: Annotated[int, Field(ge=1, le=2 * MOST_TOKENS)]
    first_position: Annotated[int, Field(ge=0, le=MOST_TOKENS)] = 0


@settings
class EncoderSpec:
    """An encoder.

    Attributes:
        architecture: of the model.
        width: numbers of a text's vector.
        vocabulary: rows of the table of tokens.
        max_tokens: of a text; what follows is cut. Those that the tokenizer adds count too.
        pooling: how the tokens' vectors make the text's.
        normalize: whether a text's vector is scaled to the length 1.
        prompt: put before each text.
        lower: whether texts are put in lower case before the tokenizer sees them.
        prefix: of the names of all tensors.
        skipped: token that counts as absent; None for none.
        transformer: sizes of a transformer; None of a static model.
    """

    architecture: Architecture
    width: Width
    vocabulary: Annotated[int, Field(ge=1, le=10_000_000)]
    max_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)]
    pooling: Pooling = "mean"
    normalize: bool = False
    prompt: Annotated[str, Field(max_length=1000)] = ""
    lower: bool = False
    prefix: Annotated[str, Field(max_length=100)] = ""
    skipped: Size | None = None
    transformer: TransformerSpec | None = None
