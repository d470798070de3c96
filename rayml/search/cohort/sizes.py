"""What a worker has measured of the sizes of its cohorts, so that it measures a structure once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from rayml.train.lanes.structure import same_structure


class _Known(NamedTuple):
    model: nn.Module
    rows: int
    most: int
    lanes: int


class Sizes:
    """Lanes that cohorts hold, by their structure."""

    def __init__(self) -> None:
        self._known: list[_Known] = []

    def of(self, model: nn.Module, rows: int, most: int, measure: Callable[[], int]) -> int:
        """Lanes that a cohort holds.

        Args:
            model: of the structure.
            rows: of a training batch.
            most: lanes that are wanted at most.
            measure: finds the number out, where no cohort before was like this one.
        """
        for each in self._known:
            if (each.rows, each.most) == (rows, most) and same_structure(each.model, model):
                return each.lanes
        lanes = measure()
        self._known.append(_Known(copy.deepcopy(model), rows, most, lanes))
        return lanes


# Of this process, whose cohorts are all of one sweep.
SIZES = Sizes()
