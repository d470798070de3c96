"""Where features enter a module: its numeric input, and the layers that make vectors of codes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rayml.errors import ExplainError
from rayml.types import FeatureShape

Vectors = tuple[Tensor, ...]

_LEAST_ROWS, _MOST_ROWS = 32, 256


class Entrances:
    """A module as a differentiable function of its numeric input and of its embedded codes.

    A code cannot change by degrees; the vector that a layer makes of it can. The layers are the
    innermost ones below the module that take integers and return floats, such as `nn.Embedding` and
    `FeatureEmbedding`. One run of the module on a probe finds them. Changes of single features show
    which feature an element of a vector belongs to.

    Its hooks stay on the module: it needs a module of its own, and one thread at a time.

    Args:
        module: maps float32 [rows, numeric columns] and int64 codes [rows, categorical columns] to
            outputs; in evaluation mode, without gradients of its parameters.
        shape: of the features.
        device: where the module is.

    Attributes:
        owners: for each vector the feature that each element belongs to, numeric features first,
            then codes; -1 where no feature changes the element.

    Raises:
        ExplainError: codes reach the outputs otherwise than through such layers, several features
            share an element, or the outputs have no gradient.
    """

    def __init__(self, module: nn.Module, shape: FeatureShape, device: torch.device) -> None:
        self._module = module
        self._shape = shape
        self._seen: list[Tensor] = []
        self._given: deque[Tensor] | None = None
        probe, other = _probes(shape, device)
        with torch.no_grad():
            for layer in _embedding_layers(module, probe, other):
                layer.register_forward_hook(self._pass)
            self._require_sealed(probe)
            self.owners = self._find_owners(probe, other)
        self._require_gradient(probe)

    def vectors(self, numeric: Tensor, categorical: Tensor) -> Vectors:
        """The numeric input, then what each call of an embedding layer gives, rows first."""
        self._seen = []
        with torch.no_grad():
            _run(self._module, (numeric, categorical))
        vectors, self._seen = (numeric, *self._seen), []
        return vectors

    def __call__(self, *vectors: Tensor) -> Tensor:
        """The module's outputs for vectors as `vectors` gives them."""
        numeric, *given = vectors
        codes = numeric.new_zeros(len(numeric), len(self._shape.cardinalities), dtype=torch.int64)
        self._given = deque(vector.clone() for vector in given)
        try:
            return _run(self._module, (numeric, codes))
        finally:
            self._given = None

    def by_feature(self, values: Sequence[Tensor]) -> Tensor:
        """Add values up to their features.

        Args:
            values: one for each element of each vector, rows first.

        Returns:
            float64 [rows, features], numeric features first, then codes.
        """
        features = self._shape.numeric + len(self._shape.cardinalities)
        sums = values[0].new_zeros(len(values[0]), features + 1, dtype=torch.float64)
        for each, owner in zip(values, self.owners, strict=True):
            sums.index_add_(1, owner % (features + 1), each.reshape(len(each), -1).double())
        return sums[:, :features]

    def _pass(self, _layer: nn.Module, _inputs: Any, output: Tensor) -> Tensor | None:
        """Note what a layer gives, or put what was given in its place."""
        if self._given is None:
            self._seen.append(output)
            return None
        return self._given.popleft()

    def _require_sealed(self, probe: Vectors) -> None:
        vectors = self.vectors(*probe)
        rows = len(probe[0])
        if any(not vector.dim() or len(vector) != rows for vector in vectors):
            raise ExplainError(
                f"predictions of {type(self._module).__name__} cannot be explained: a layer that"
                " takes codes returns vectors whose first dimension is not the rows",
                found=[tuple(vector.shape) for vector in vectors],
                remedy="Let the embedding layers of the model keep the rows as first dimension",
            )
        if not torch.allclose(
            self(*vectors), _run(self._module, probe), rtol=1e-4, atol=1e-5, equal_nan=True
        ):
            raise ExplainError(
                f"predictions of {type(self._module).__name__} cannot be explained: it uses codes"
                " outside of embedding layers",
                remedy="Let a module of its own, such as nn.Embedding, turn codes into vectors",
            )

    def _find_owners(self, probe: Vectors, other: Vectors) -> tuple[Tensor, ...]:
        """Tell the owners by two runs for each binary digit of a feature's index.

        One run changes the features with a 0 there, the other those with a 1. An element that
        depends on one feature alone changes in exactly one of the two, for each digit.
        """
        base = self.vectors(*probe)
        features = self._shape.numeric + len(self._shape.cardinalities)
        index = torch.arange(features, device=probe[0].device)
        owners = [vector.new_zeros(vector[0].numel(), dtype=torch.int64) for vector in base]
        for digit in range(max(1, (features - 1).bit_length())):
            one = (index >> digit & 1).bool()
            changes = [
                _changes(base, self.vectors(*self._mixed(probe, other, chosen)))
                for chosen in (~one, one)
            ]
            for owner, by_zeros, by_ones in zip(owners, *changes, strict=True):
                if (by_zeros & by_ones).any():
                    raise ExplainError(
                        f"predictions of {type(self._module).__name__} cannot be explained: an"
                        " element of an embedding layer's output depends on several columns",
                        remedy="Mix columns after the embedding layers of the model",
                    )
                owner.add_(by_ones.long() << digit)
                owner.masked_fill_(~by_zeros & ~by_ones, -1)
        return tuple(owners)

    def _mixed(self, probe: Vectors, other: Vectors, chosen: Tensor) -> Vectors:
        numeric = self._shape.numeric
        return (
            torch.where(chosen[:numeric], other[0], probe[0]),
            torch.where(chosen[numeric:], other[1], probe[1]),
        )

    def _require_gradient(self, probe: Vectors) -> None:
        vectors = [vector.detach().clone().requires_grad_() for vector in self.vectors(*probe)]
        try:
            with torch.enable_grad():
                outputs = self(*vectors)
                torch.autograd.grad(outputs.sum(), vectors, allow_unused=True)
        except RuntimeError as error:
            raise ExplainError(
                f"predictions of {type(self._module).__name__} cannot be explained: its outputs"
                f" have no gradient with respect to its inputs ({' '.join(str(error).split())})",
                remedy="Compute its outputs with differentiable operations of PyTorch",
            ) from error


def _run(module: nn.Module, inputs: Vectors) -> Tensor:
    # A module may write into what it is given, which the leaf of a graph forbids.
    outputs: Tensor = module(*(each.clone() for each in inputs))
    return outputs


def _embedding_layers(module: nn.Module, probe: Vectors, other: Vectors) -> list[nn.Module]:
    outputs: dict[nn.Module, list[Tensor]] = {}

    def note(layer: nn.Module, inputs: Any, named: dict[str, Any], output: Any) -> None:
        codes = any(_is_codes(each) for each in (*inputs, *named.values()))
        if codes and isinstance(output, Tensor) and output.is_floating_point():
            outputs.setdefault(layer, []).append(output)

    below = [layer for layer in module.modules() if layer is not module]
    handles = [layer.register_forward_hook(note, with_kwargs=True) for layer in below]
    try:
        _run(module, probe)
        first, outputs = outputs, {}
        _run(module, other)
    finally:
        for handle in handles:
            handle.remove()
    # A layer of constants, as an embedding of positions is, is no entrance.
    found = [layer for layer, seen in first.items() if not _same(seen, outputs.get(layer, []))]
    return [
        layer
        for layer in found
        if not any(inner is not layer and inner in found for inner in layer.modules())
    ]


def _same(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    return len(first) == len(second) and all(map(torch.equal, first, second))


def _is_codes(value: object) -> bool:
    return isinstance(value, Tensor) and not (
        value.is_floating_point() or value.is_complex() or value.dtype == torch.bool
    )


def _changes(base: Vectors, changed: Vectors) -> list[Tensor]:
    return [
        (before != after).reshape(len(before), -1).any(0)
        for before, after in zip(base, changed, strict=True)
    ]


def _probes(shape: FeatureShape, device: torch.device) -> tuple[Vectors, Vectors]:
    """Two batches of which every value differs; each holds many codes of each column."""
    rows = min(max(max(shape.cardinalities, default=0), _LEAST_ROWS), _MOST_ROWS)
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, rows, shape.numeric, generator=generator)
    counts = torch.tensor(shape.cardinalities, dtype=torch.int64)
    codes = torch.arange(rows).unsqueeze(1)
    return (
        (first.to(device), (codes % counts).to(device)),
        (second.to(device), ((codes + 1) % counts).to(device)),
    )
