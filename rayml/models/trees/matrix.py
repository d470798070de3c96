"""Features as the one matrix that libraries of trees take."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rayml.types import Features, FeatureShape

Matrix = npt.NDArray[np.float32]


def as_matrix(features: Features) -> Matrix:
    """Numbers and then codes, float32 [rows, columns], row by row in memory.

    Codes are whole numbers far below 2^24, which float32 has exactly.
    """
    numeric, codes = features.numeric, features.categorical
    if not codes.shape[1]:
        return np.ascontiguousarray(numeric)
    numbers = numeric.shape[1]
    matrix = np.empty((len(numeric), numbers + codes.shape[1]), np.float32)
    matrix[:, :numbers] = numeric
    matrix[:, numbers:] = codes
    return matrix


def code_columns(shape: FeatureShape) -> list[int]:
    """The columns of `as_matrix` that hold codes."""
    return list(range(shape.numeric, shape.numeric + len(shape.cardinalities)))


def width(shape: FeatureShape) -> int:
    """Number of columns of `as_matrix`."""
    return shape.numeric + len(shape.cardinalities)
