"""The forward pass of BERT and DistilBERT for one text.

"BERT: Pre-training of Deep Bidirectional Transformers", Devlin et al. 2019; "DistilBERT", Sanh et
al. 2019. A text goes through by itself, without padding: a product of matrices gives a row other
bits beside other rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rayml.data.text.spec import EncoderSpec, TransformerSpec
from rayml.data.text.static import Vector
from rayml.storage.safetensors_header import Shape

# The names of a layer's parts by architecture: queries, keys, values, output of the attention and
# its norm, both products, and their norm.
_PARTS = {
    "bert": (
        "encoder.layer.{}.",
        *(f"attention.self.{part}" for part in ("query", "key", "value")),
        *("attention.output.dense", "attention.output.LayerNorm"),
        *("intermediate.dense", "output.dense", "output.LayerNorm"),
    ),
    "distilbert": (
        "transformer.layer.{}.",
        *(f"attention.{part}_lin" for part in "qkv"),
        *("attention.out_lin", "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm"),
    ),
}
_TYPES = "embeddings.token_type_embeddings.weight"


def shapes_of_transformer(spec: EncoderSpec, found: Mapping[str, Shape]) -> dict[str, Shape]:
    """The shapes of the tensors that such an encoder needs.

    Args:
        spec: of the encoder.
        found: shapes of the tensors in its file.
    """
    sizes, width = _sizes(spec), spec.width
    needed: dict[str, Shape] = {
        "embeddings.word_embeddings.weight": (spec.vocabulary, width),
        "embeddings.position_embeddings.weight": (sizes.positions, width),
    }
    if spec.architecture == "bert":
        types = found.get(spec.prefix + _TYPES, (1,))
        needed[_TYPES] = (max(types[0], 1) if types else 1, width)
    inner = sizes.inner
    products = [(width, width)] * 4 + [(inner, width), (width, inner)]
    layers: dict[str, Shape] = {"embeddings.LayerNorm": (width,)}
    for layer in range(sizes.layers):
        start, *parts = _PARTS[spec.architecture]
        outputs = iter(products)
        for part in parts:
            norm = part.lower().endswith(("layernorm", "layer_norm"))
            layers[start.format(layer) + part] = (width,) if norm else next(outputs)
    for name, shape in layers.items():
        needed[f"{name}.weight"], needed[f"{name}.bias"] = shape, shape[:1]
    return {spec.prefix + name: shape for name, shape in needed.items()}


class TransformerModel:
    """Computes the pooled vector of a text; safe to use from several threads.

    Args:
        spec: of the encoder.
        tensors: of the shapes of `shapes_of_transformer`.
    """

    def __init__(self, spec: EncoderSpec, tensors: Mapping[str, Tensor]) -> None:
        self._spec = spec
        self._sizes = _sizes(spec)
        # Copied, since kernels may go by where in memory a tensor begins.
        self._tensors = {
            name.removeprefix(spec.prefix): each.float().clone() for name, each in tensors.items()
        }
        start, *parts = _PARTS[spec.architecture]
        self._layers = [
            [start.format(layer) + part for part in parts] for layer in range(self._sizes.layers)
        ]

    def __call__(self, tokens: Sequence[int]) -> Vector:
        """The vector of a text of these tokens; zeros without any."""
        if not tokens:
            return np.zeros(self._spec.width, np.float32)
        with torch.inference_mode():
            hidden = self._embedded(torch.tensor(tokens))
            for names in self._layers:
                hidden = self._layer(hidden, *names)
            vector: Vector = self._pooled(hidden).numpy().copy()
            return vector

    def _embedded(self, tokens: Tensor) -> Tensor:
        tensors, first = self._tensors, self._sizes.first_position
        hidden = tensors["embeddings.word_embeddings.weight"][tokens]
        if _TYPES in tensors:
            hidden = hidden + tensors[_TYPES][0]
        positions = tensors["embeddings.position_embeddings.weight"]
        return self._norm(hidden + positions[first : first + len(tokens)], "embeddings.LayerNorm")

    def _layer(
        self,
        hidden: Tensor,
        query: str,
        key: str,
        value: str,
        output: str,
        norm: str,
        wide: str,
        narrow: str,
        last: str,
    ) -> Tensor:
        rows, width = hidden.shape
        asked, known, given = (
            self._product(hidden, name).view(rows, self._sizes.heads, -1).transpose(0, 1)[None]
            for name in (query, key, value)
        )
        mixed = functional.scaled_dot_product_attention(asked, known, given)[0]
        mixed = mixed.transpose(0, 1).reshape(rows, width)
        hidden = self._norm(self._product(mixed, output) + hidden, norm)
        inner = self._activated(self._product(hidden, wide))
        return self._norm(self._product(inner, narrow) + hidden, last)

    def _activated(self, values: Tensor) -> Tensor:
        match self._sizes.activation:
            case "gelu":
                return functional.gelu(values)
            case "gelu_tanh":
                return functional.gelu(values, approximate="tanh")
            case "relu":
                return functional.relu(values)

    def _product(self, values: Tensor, name: str) -> Tensor:
        tensors = self._tensors
        return functional.linear(values, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    def _norm(self, values: Tensor, name: str) -> Tensor:
        weight, bias = self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"]
        return functional.layer_norm(values, weight.shape, weight, bias, self._sizes.epsilon)

    def _pooled(self, hidden: Tensor) -> Tensor:
        match self._spec.pooling:
            case "mean":
                return hidden.mean(0)
            case "cls":
                return hidden[0]
            case "max":
                return hidden.max(0).values


def _sizes(spec: EncoderSpec) -> TransformerSpec:
    sizes = spec.transformer
    if (
        sizes is None
        or spec.width % sizes.heads
        or sizes.positions < (spec.max_tokens + sizes.first_position)
    ):
        raise ValueError("the sizes of its transformer do not go together")
    return sizes
