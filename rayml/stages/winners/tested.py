"""Calibrates a winner on validation rows and measures it on test rows, which are read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from rayml.search.results.confirmation import MeasuredRegions, record_test
from rayml.settings.search import ConfirmSettings
from rayml.stages.winners.decide import cost_rule, require_decidable
from rayml.stages.winners.intervals import fit_intervals, measured, some_places, some_rows
from rayml.stages.winners.out_of_fold import OutOfFold, out_of_fold
from rayml.tasks.decisions.rule import COST
from rayml.types import Examples

if TYPE_CHECKING:
    from rayml.data.prepare.prepare import PreparedDataset
    from rayml.models.estimators.members import Committee
    from rayml.registry.bundle.intervals import Intervals
    from rayml.stages.winners.winner import Winner
    from rayml.tasks.decisions.rule import DecisionRule
    from rayml.tasks.task import Task

_TEMPERATURE_ROWS = 20_000
_DECISION_ROWS = 50_000

Metrics = Mapping[str, float | None]


@dataclass(frozen=True)
class Calibration:
    """What is calibrated.

    Attributes:
        winner: of the sweep.
        models: of the winner, which are served together.
        task: of their outputs.
        data: as the bundle transforms them.
        settings: of its regions, its temperature and its decisions.
    """

    winner: Winner
    models: Committee
    task: Task
    data: PreparedDataset
    settings: ConfirmSettings

    @cached_property
    def temperature(self) -> float:
        """Of what is served, fitted on validation rows; 1 where none is wanted or better."""
        if self.settings.calibrate == "none" or not self.task.takes_temperature:
            return 1.0
        rows, outputs = self._calibrating(_TEMPERATURE_ROWS)
        with torch.inference_mode():
            predictions = self.task.predict(outputs.double()).mean(0)
            return self.task.fit_temperature(
                predictions, self.task.truth(torch.from_numpy(rows.target))
            )

    @cached_property
    def rule(self) -> DecisionRule | None:
        """By which a class is answered, of costs or chosen on validation rows.

        Returns:
            None where none is wanted, or none gains more than chance.

        Raises:
            ConfigError: the target cannot be decided so.
        """
        decide, target = self.settings.decide, self.task.info
        if decide.metric is None:
            return None
        require_decidable(decide, target)
        if decide.metric == COST:
            return cost_rule(decide, target)
        rows, outputs = self._calibrating(_DECISION_ROWS)
        with torch.inference_mode():
            predictions = self.task.predict(outputs.double()).mean(0)
            scaled = self.task.tempered(predictions, self.temperature)
            truth = self.task.truth(torch.from_numpy(rows.target))
            return self.task.choose_rule(decide.metric, scaled, truth)

    @cached_property
    def calibrated_winner(self) -> Winner:
        """The winner with its temperature and its rule."""
        return replace(self.winner, temperature=self.temperature, rule=self.rule)

    @cached_property
    def decider(self) -> Task:
        """The task, by the rule."""
        return self.task.deciding(self.rule)

    @cached_property
    def served(self) -> Committee:
        """The models as they are served."""
        return replace(self.models, temperature=self.temperature)

    def regions(self) -> Intervals | None:
        """Regions, calibrated on validation rows; None where none are wanted.

        With folds all rows that train and validate calibrate them, each predicted by the models
        that held it out; those that answer are on average better than these.
        """
        settings = self.settings.intervals
        if not settings.rows:
            return None
        rows, outputs = self._calibrating(settings.rows)
        fitted = self.data.preprocessor
        found = fit_intervals(outputs, self.task, fitted, rows, settings, self.temperature)
        return found and replace(found, held_out=self._held_out is not None)

    def validation_metrics(self) -> Metrics:
        """On the validation split, or with folds on all rows, each held out in turn."""
        if self.winner.validation and self.temperature == 1 and self.rule is None:
            return self.winner.validation
        if self._held_out is None:
            return self.served.measure(self.decider, self.validation)
        held_out = self._held_out
        if self.temperature != 1:
            held_out = replace(held_out, outputs=held_out.outputs / self.temperature)
        return held_out.measure(self.decider)

    def _calibrating(self, most: int) -> tuple[Examples, torch.Tensor]:
        """So many rows at most that calibrate, and the outputs of each vote for them."""
        held_out = self._held_out
        if held_out is None:
            rows = some_rows(self.validation, most)
            return rows, self.models.outputs(rows.features)
        places = some_places(len(held_out.places), most)
        rows = self.data.examples("train").rows(held_out.places[places])
        return rows, held_out.outputs[places].unsqueeze(0)

    @cached_property
    def _held_out(self) -> OutOfFold | None:
        return out_of_fold(self.winner, self.models, self.data, self.task)

    @cached_property
    def validation(self) -> Examples:
        """The validation split."""
        return self.data.examples("validation")

    @cached_property
    def test(self) -> Examples:
        """The test split."""
        return self.data.examples("test")

    def metrics(self) -> Metrics:
        """Of the models on the test split."""
        return self.served.measure(self.decider, self.test)

    def measured(self, regions: Intervals) -> Intervals:
        """Regions with what they are worth on the test split."""
        return measured(regions, self.served, self.task, self.data.preprocessor, self.test)


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
    temperature, rule = calibration.temperature, calibration.rule
    measured_as = (1.0, None) if known is None else (known.temperature, known.rule)
    if test is not None and (temperature, rule) != measured_as:
        test = known = None  # measured with others
    if known is not None and known.settings != calibration.settings.intervals:
        known = None
    metrics = calibration.metrics() if test is None else test
    if regions is not None:
        if known is None:
            regions = calibration.measured(regions)
        else:
            regions = replace(regions, measured=known.levels)
    if confirmation is not None and (test is None or (known is None and regions is not None)):
        levels = () if regions is None else regions.measured
        found = MeasuredRegions(
            settings=calibration.settings.intervals,
            levels=levels,
            temperature=temperature,
            rule=rule,
        )
        record_test(sweep, confirmation, metrics, found)
    return metrics, regions
