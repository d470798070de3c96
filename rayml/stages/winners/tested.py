"""Calibrates a winner on validation rows and measures it on test rows, which are read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rayml.search.results.confirmation import MeasuredRegions, record_test
from rayml.settings.search import IntervalSettings
from rayml.stages.winners.intervals import fit_intervals, measured, some_places, some_rows
from rayml.stages.winners.out_of_fold import OutOfFold, out_of_fold
from rayml.types import Examples

if TYPE_CHECKING:
    from rayml.data.prepare.prepare import PreparedDataset
    from rayml.models.estimators.members import Committee
    from rayml.registry.bundle.intervals import Intervals
    from rayml.stages.winners.winner import Winner
    from rayml.tasks.task import Task

Metrics = Mapping[str, float | None]


@dataclass(frozen=True)
class Calibration:
    """What is calibrated.

    Attributes:
        winner: of the sweep.
        models: of the winner, which are served together.
        task: of their outputs.
        data: as the bundle transforms them.
        settings: of its regions.
    """

    winner: Winner
    models: Committee
    task: Task
    data: PreparedDataset
    settings: IntervalSettings

    def regions(self) -> Intervals | None:
        """Regions, calibrated on validation rows; None where none are wanted.

        With folds all rows that train and validate calibrate them, each predicted by the models
        that held it out; those that answer are on average better than these.
        """
        if not self.settings.rows:
            return None
        held_out = self._held_out
        if held_out is None:
            rows = some_rows(self.data.examples("validation"), self.settings.rows)
            outputs = self.models.outputs(rows.features)
        else:
            places = some_places(len(held_out.places), self.settings.rows)
            rows = self.data.examples("train").rows(held_out.places[places])
            outputs = held_out.outputs[places].unsqueeze(0)
        found = fit_intervals(outputs, self.task, self.data.preprocessor, rows, self.settings)
        return found and replace(found, held_out=held_out is not None)

    def validation_metrics(self) -> Metrics:
        """On the validation split, or with folds on all rows, each held out in turn."""
        if self._held_out is not None:
            return self._held_out.measure(self.task)
        return self.models.measure(self.task, self.data.examples("validation"))

    @cached_property
    def _held_out(self) -> OutOfFold | None:
        return out_of_fold(self.winner, self.data, self.task)

    @cached_property
    def test(self) -> Examples:
        """The test split."""
        return self.data.examples("test")

    def metrics(self) -> Metrics:
        """Of the models on the test split."""
        return self.models.measure(self.task, self.test)

    def measured(self, regions: Intervals) -> Intervals:
        """Regions with what they are worth on the test split."""
        return measured(regions, self.models, self.task, self.data.preprocessor, self.test)


def tested(calibration: Calibration, sweep: Path) -> tuple[Metrics, Intervals | None]:
    """Metrics on the test split, and regions with what they are worth there.

    The test split is read once for a confirmed winner, whose record keeps both; regions that are
    calibrated in another way are measured anew.

    Args:
        calibration: of a winner.
        sweep: folder of the sweep.
    """
    confirmation, regions = calibration.winner.confirmation, calibration.regions()
    test = None if confirmation is None else confirmation.test
    known = None if confirmation is None else confirmation.regions
    if known is not None and known.settings != calibration.settings:
        known = None
    metrics = calibration.metrics() if test is None else test
    if regions is not None:
        if known is None:
            regions = calibration.measured(regions)
        else:
            regions = replace(regions, measured=known.levels)
    if confirmation is not None and (test is None or (known is None and regions is not None)):
        levels = () if regions is None else regions.measured
        found = MeasuredRegions(settings=calibration.settings, levels=levels)
        record_test(sweep, confirmation, metrics, found)
    return metrics, regions
