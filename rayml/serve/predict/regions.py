"""Regions around predictions: an interval or a set of labels that holds the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rayml.data.fit.group_column import GroupColumn
from rayml.data.fit.preprocess import Preprocessor
from rayml.errors import BundleError, DataError, RequestError
from rayml.registry.bundle.bundle import Bundle
from rayml.registry.bundle.intervals import Intervals
from rayml.serve.predict.answer import Estimate, Region, RegionGroups
from rayml.tasks.conformal import Floats, draws
from rayml.tasks.regions import Predicted
from rayml.tasks.task import Task
from rayml.types import Features

PARAMETER: Final = "interval"
"""Name of what asks for regions, in the query of a path and in a request of tensors."""


def read_level(given: object) -> float:
    """The level that a request asks for.

    Raises:
        RequestError: 422, it is no number between 0 and 1.
    """
    try:
        level = float(given) if isinstance(given, str | int | float) else float("nan")
    except (ValueError, OverflowError):
        level = float("nan")
    if not 0 < level < 1:
        raise RequestError(
            f"{PARAMETER} is no number between 0 and 1",
            status=422,
            found=given,
            remedy=f"Name the probability with which a region holds the truth: {PARAMETER}=0.9",
        )
    return level


@dataclass(frozen=True)
class _Groups:
    """The column that rows are grouped by, and the groups of its values."""

    column: GroupColumn
    of_values: npt.NDArray[np.int64]


class RegionMaker:
    """Makes the regions of one bundle; safe to use from several threads.

    Args:
        bundle: a verified bundle.
        task: of its outputs.
        preprocessor: of the bundle.

    Raises:
        BundleError: its scores fit neither its model nor its columns.
    """

    def __init__(self, bundle: Bundle, task: Task, preprocessor: Preprocessor) -> None:
        self._bundle, self._task = bundle, task
        self._intervals = found = bundle.intervals
        self._groups = None if found is None else _grouped(bundle, found, preprocessor)
        scaled = found is not None and found.offset is not None
        if scaled and not (task.takes_scale and bundle.info.ensemble):
            raise _misfit(
                bundle,
                "its scores are in units of a spread, and it has no ensemble",
            )

    @property
    def groups(self) -> RegionGroups | None:
        """How rows are grouped; None where the bundle gives no regions."""
        found = self._intervals
        if found is None:
            return None
        return RegionGroups(found.group is not None, tuple(each.value for each in found.groups))

    def require(self, level: float) -> None:
        """Check that the bundle supports a level.

        Raises:
            RequestError: 422, it has no scores, or too few.
        """
        found = self._intervals
        if found is None:
            raise RequestError(
                "this version has no calibration scores, so it gives no intervals or sets",
                status=422,
                remedy="Register it again with"
                f" `rayml register {self._bundle.lineage.sweep} confirm.intervals.rows=10000`",
            )
        if not found.supports(level):
            raise RequestError(
                f"{found.rows} calibration rows are too few for {PARAMETER}={level:g}",
                status=422,
                remedy=f"Ask for {_down(found.highest)} at most, or register a model"
                " that has more calibration rows",
            )

    def of(self, estimate: Estimate, features: Features, levels: Floats) -> Region:
        """The regions of some rows.

        Args:
            estimate: of the rows.
            features: of the rows.
            levels: of the rows, which `require` lets pass.
        """
        found = self._intervals
        assert found is not None
        scale = None
        if found.offset is not None:
            assert estimate.spread is not None
            scale = estimate.spread.double().numpy() + found.offset
        predicted = Predicted(
            estimate.prediction, scale, draws(features.numeric, features.categorical)
        )
        groups = None
        if self._groups is not None:
            groups = self._groups.of_values[self._groups.column.places(features)]
        limits, used = found.limits(groups, levels)
        return Region(self._task.regions(predicted, limits), used)

    def described(self) -> dict[str, Any] | None:
        """What `/metadata` says of the regions; None where there are none."""
        found = self._intervals
        if found is None:
            return None
        return {
            "kind": self._task.region,
            "rows": found.rows,
            "highest": found.highest,
            "scaled": found.offset is not None,
            "group": found.group,
            "groups": [{"value": each.value, "rows": len(each.scores)} for each in found.groups],
            "pooled": list(found.pooled),
            "measured": [
                {
                    "level": each.level,
                    "coverage": each.coverage,
                    "size": each.size,
                    "rows": each.rows,
                }
                for each in found.measured
            ],
        }


def _grouped(bundle: Bundle, found: Intervals, preprocessor: Preprocessor) -> _Groups | None:
    if found.group is None:
        return None
    try:
        column = GroupColumn(preprocessor, found.group)
    except DataError as error:
        raise _misfit(bundle, error.problem) from error
    return _Groups(column, found.places(column.values))


def _misfit(bundle: Bundle, why: str) -> BundleError:
    return BundleError(
        f"intervals.json of the bundle does not fit it: {why}",
        found=str(bundle.folder),
        remedy="Copy the bundle again from where it was written",
    )


def _down(level: float) -> str:
    """A level in a few digits, never rounded up."""
    return f"{np.floor(level * 1e4) / 1e4:g}"
