"""Encoders that are a table: the vector of a text is the mean over the vectors of its tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rayml.data.text.spec import EncoderSpec
from rayml.storage.safetensors_header import Shape

if TYPE_CHECKING:
    from torch import Tensor

Vector = npt.NDArray[np.float32]

_MAPPING = "mapping"
_WEIGHTS = "weights"


def shapes_of_static(spec: EncoderSpec, found: Mapping[str, Shape]) -> dict[str, Shape]:
    """The shapes of the tensors that such an encoder needs.

    Args:
        spec: of the encoder.
        found: shapes of the tensors in its file: a table may be shared by tokens, and its rows may
            be weighted.
    """
    table = found.get(spec.prefix, ())
    rows = table[0] if _MAPPING in found and table else spec.vocabulary
    needed: dict[str, Shape] = {spec.prefix: (rows, spec.width)}
    if _MAPPING in found:
        needed[_MAPPING] = (spec.vocabulary,)
    if _WEIGHTS in found:
        needed[_WEIGHTS] = (spec.vocabulary,)
    return needed


class StaticModel:
    """Computes the mean over tokens.

    Args:
        spec: of the encoder.
        tensors: of the shapes of `shapes_of_static`.

    Raises:
        ValueError: the mapping names rows that the table lacks.
    """

    def __init__(self, spec: EncoderSpec, tensors: Mapping[str, Tensor]) -> None:
        # Half precision stays so in memory, and is widened row by row.
        table = tensors[spec.prefix]
        wide = table.dtype.itemsize > 4 or str(table.dtype) == "torch.bfloat16"
        self._table = (table.float() if wide else table).clone().numpy()
        self._weights = self._mapping = None
        if _WEIGHTS in tensors:
            self._weights = tensors[_WEIGHTS].float().clone().numpy()
        if _MAPPING in tensors:
            self._mapping = tensors[_MAPPING].long().clone().numpy()
            if not ((self._mapping >= 0) & (self._mapping < len(self._table))).all():
                raise ValueError("its mapping names rows that its table lacks")

    def __call__(self, tokens: Sequence[int]) -> Vector:
        """The vector of a text of these tokens; zeros without any."""
        places = np.array(tokens, np.int64)
        rows = self._table[places if self._mapping is None else self._mapping[places]]
        vectors = rows.astype(np.float32)
        if self._weights is not None:
            vectors *= self._weights[places, None]
        if not len(places):
            return np.zeros(vectors.shape[1], np.float32)
        mean: Vector = vectors.mean(axis=0)
        return mean
