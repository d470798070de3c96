"""The matrix that trees see."""

from __future__ import annotations

import numpy as np
import pytest

from rayml.models.trees.matrix import Missing, TreeColumns
from rayml.testing.rows import learnable
from rayml.types import FeatureShape

SHAPE = FeatureShape(5, (4,), missing=(3, 4, 4, -1, -1))


@pytest.mark.parametrize("rows", [1, 60])
def test_missing_numbers_are_missing_and_their_marks_empty(rows: int) -> None:
    features = learnable("binary", SHAPE, 60, 0).features.rows(np.arange(60 - rows, 60))
    before = features.numeric.copy()
    columns = TreeColumns(SHAPE, "native")
    found = columns.matrix(features)
    wanted = before.copy()
    for row in wanted:
        if row[3]:
            row[0] = np.nan
        if row[4]:
            row[1:3] = np.nan
    wanted[:, 3:] = 0
    assert np.array_equal(found[:, :5], wanted, equal_nan=True)
    assert np.array_equal(found[:, 5:], features.categorical)
    assert np.array_equal(features.numeric, before), "the features are others' too"
    assert columns.codes == [5]


@pytest.mark.parametrize(
    ("shape", "missing"), [(SHAPE, "filled"), (FeatureShape(5, (4,)), "native")]
)
def test_else_features_are_as_they_are(shape: FeatureShape, missing: Missing) -> None:
    features = learnable("binary", SHAPE, 60, 0).features
    found = TreeColumns(shape, missing).matrix(features)
    assert np.array_equal(found, np.concatenate([features.numeric, features.categorical], 1))


def test_numbers_alone_are_no_copy() -> None:
    features = learnable("binary", FeatureShape(3), 60, 0).features
    assert TreeColumns(FeatureShape(3), "native").matrix(features) is features.numeric
