"""The calibration scores of a bundle: `intervals.json`, by which it answers with regions.

See `rayml.tasks.conformal`. The scores are those of validation rows, of the model as it is served;
they say how far predictions missed, and name no row.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pydantic
from pydantic import Field

from rayml.tasks.conformal import Floats, highest_level, limit, rank
from rayml.tasks.regions import MeasuredLevel
from rayml.types import NonNegative, settings

MOST_SCORES = 20_000
MOST_GROUPS = 1000

GroupValue = str | bool


def _ascending(scores: tuple[float, ...]) -> tuple[float, ...]:
    if any(one > other for one, other in pairwise(scores)):
        raise ValueError("the scores are not in ascending order")
    return scores


Scores = Annotated[
    tuple[NonNegative, ...],
    Field(min_length=1, max_length=MOST_SCORES),
    pydantic.AfterValidator(_ascending),
]


@settings
class GroupScores:
    """The scores of the rows of one group.

    Attributes:
        value: of the column that rows are grouped by.
        scores: of its rows, in ascending order.
    """

    value: GroupValue
    scores: Scores


@settings
class Intervals:
    """Content of `intervals.json`.

    Attributes:
        scores: of all rows, in ascending order.
        offset: scores are in units of an ensemble's spread plus this; None where they are in those
            of the target, or have none.
        group: column whose values have scores of their own; None where there is none.
        groups: that have enough rows.
        pooled: values of the column with too few rows, which all rows' scores serve.
        measured: by level.
        held_out: whether the rows trained models, each predicted by those that held it out, as with
            folds; else no model trained on them.
    """

    scores: Scores
    offset: Annotated[float, Field(gt=0)] | None = None
    group: str | None = None
    groups: Annotated[tuple[GroupScores, ...], Field(max_length=MOST_GROUPS)] = ()
    pooled: Annotated[tuple[GroupValue, ...], Field(max_length=MOST_GROUPS)] = ()
    measured: Annotated[tuple[MeasuredLevel, ...], Field(max_length=100)] = ()
    held_out: bool = False

    @pydantic.model_validator(mode="after")
    def _grouped(self) -> Intervals:
        values = [*(each.value for each in self.groups), *self.pooled]
        if values and self.group is None:
            raise ValueError("there are groups, and no column that they are of")
        if len({(type(each), each) for each in values}) != len(values):
            raise ValueError("a group is named twice")
        if sum(len(each.scores) for each in self.groups) > MOST_SCORES:
            raise ValueError(f"the groups have more than {MOST_SCORES} scores")
        return self

    @property
    def rows(self) -> int:
        """Rows that gave scores."""
        return len(self.scores)

    @property
    def highest(self) -> float:
        """The highest level that the scores of all rows support."""
        return highest_level(self.rows)

    def supports(self, level: float) -> bool:
        """Whether the scores of all rows are enough for a level."""
        return rank(self.rows, level) <= self.rows

    def places(self, values: Sequence[GroupValue]) -> npt.NDArray[np.int64]:
        """Places of groups in `groups` by the places of their values, -1 of those without scores.

        Args:
            values: of the column; the last place of the answer is that of none of them.
        """
        own = {(type(each.value), each.value): at for at, each in enumerate(self.groups)}
        return np.array([*(own.get((type(each), each), -1) for each in values), -1], np.int64)

    def limits(
        self, groups: npt.NDArray[np.int64] | None, levels: Floats
    ) -> tuple[Floats, npt.NDArray[np.int64] | None]:
        """The scores up to which values belong to the regions of some rows.

        Args:
            groups: places of the rows' groups in `groups`, -1 of other rows; None without groups.
            levels: of the rows.

        Returns:
            The limits, [rows]; and the groups whose scores gave them, -1 where those of all rows
            did, as of a group that has too few for the level.
        """
        used = None if groups is None else groups.copy()
        found = np.empty(len(levels))
        for level in np.unique(levels).tolist():
            rows = levels == level
            found[rows] = limit(self._all, level)
            for place in () if used is None else np.unique(used[rows]).tolist():
                assert used is not None
                own = np.inf if place < 0 else limit(self._of_groups[place], level)
                chosen = rows & (used == place)
                if np.isfinite(own):
                    found[chosen] = own
                else:
                    used[chosen] = -1
        return found, used

    @cached_property
    def _all(self) -> Floats:
        return np.array(self.scores)

    @cached_property
    def _of_groups(self) -> Sequence[Floats]:
        return [np.array(each.scores) for each in self.groups]
