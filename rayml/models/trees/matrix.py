"""Features as the one matrix that libraries of trees take."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from rayml.errors import ConfigError
from rayml.types import Features, FeatureShape

Matrix = npt.NDArray[np.float32]
Missing = Literal["native", "filled"]


class TreeColumns:
    """The columns of the matrix of some features: numbers and then codes.

    Args:
        shape: of the features.
        missing: `native` has NaN for a missing number, and 0 in the columns that say that a value
            is missing, as trees have nothing left to learn of them; `filled` has both as the
            features have them.

    Attributes:
        width: number of columns.
        codes: the columns that hold codes.

    Raises:
        ConfigError: `missing` is something else.
    """

    def __init__(self, shape: FeatureShape, missing: Missing) -> None:
        if missing not in get_args(Missing):
            raise ConfigError(
                "model.missing is no known way with missing numbers",
                found=missing,
                remedy=f"Take one of {', '.join(get_args(Missing))}",
            )
        self.width = shape.numeric + len(shape.cardinalities)
        self.codes = list(range(shape.numeric, self.width))
        places = np.array(shape.missing if missing == "native" else (), np.int64)
        self._columns = np.flatnonzero(places >= 0)
        self._marks = places[self._columns]
        self._all_marks = np.unique(self._marks)

    def matrix(self, features: Features) -> Matrix:
        """Features as float32 [rows, width], row by row in memory.

        Codes are whole numbers far below 2^24, which float32 has exactly.
        """
        numeric, codes = features.numeric, features.categorical
        if not codes.shape[1] and not len(self._columns):
            return np.ascontiguousarray(numeric)
        numbers = numeric.shape[1]
        matrix = np.empty((len(numeric), self.width), np.float32)
        matrix[:, :numbers] = numeric
        matrix[:, numbers:] = codes
        if len(self._columns):
            rows, at = np.nonzero(numeric[:, self._marks])
            matrix[rows, self._columns[at]] = np.nan
            matrix[:, self._all_marks] = 0
        return matrix
