"""A structure is measured once by each worker."""

from __future__ import annotations

from torch import nn

from rayml.models.nets.mlp import MLP
from rayml.search.cohort.sizes import Sizes
from rayml.types import FeatureShape

SHAPE = FeatureShape(2, (3,))


def test_cohorts_of_one_structure_are_measured_once() -> None:
    sizes, measured = Sizes(), []

    def lanes(model: nn.Module, rows: int = 64, most: int = 16) -> int:
        def measure() -> int:
            measured.append(model)
            return len(measured)

        return sizes.of(model, rows, most, measure)

    assert lanes(MLP(SHAPE, 1, width=8, dropout=0.1)) == 1
    assert lanes(MLP(SHAPE, 1, width=8, dropout=0.4)) == 1
    assert lanes(MLP(SHAPE, 1, width=16)) == 2
    assert lanes(MLP(SHAPE, 1, width=8), rows=32) == 3
    assert lanes(MLP(SHAPE, 1, width=8), most=8) == 4
    assert lanes(MLP(SHAPE, 1, width=16)) == 2
    assert len(measured) == 4
