"""The record of a confirmation: `<sweep>/confirm.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rayml.errors import SearchError
from rayml.settings.search import IntervalSettings
from rayml.storage.bounded import TooLargeError, read_bounded
from rayml.storage.disk import write
from rayml.tasks.decisions.rule import DecisionRule
from rayml.tasks.regions import MeasuredLevel
from rayml.types import Direction, settings

FILE = "confirm.json"
_MOST_BYTES = 64 << 20


@settings
class ConfirmedTrial:
    """A trial that was trained again.

    Attributes:
        number: in the study.
        params: its searched values.
        parameters: number of the model's weights.
        steps: optimizer steps over all seeds.
        seconds: of training and evaluation, over all seeds.
        values: of the metric at each seed's best epoch, in the order of the seeds; of folds the
            means.
        mean: of the values.
        low: lower end of the mean's 95 % bootstrap interval.
        high: upper end.
        folds: of each seed the values of its folds; empty without folds.
    """

    number: int
    params: Mapping[str, Any]
    parameters: int
    steps: int
    seconds: float
    values: tuple[float, ...]
    mean: float
    low: float
    high: float
    folds: tuple[tuple[float, ...], ...] = ()

    @property
    def single(self) -> tuple[float, ...]:
        """The values of all its models: one a seed, or one a seed and fold."""
        return tuple(value for seed in self.folds for value in seed) or self.values


@settings
class FailedTrial:
    """A trial that did not train to its end with every seed, and why."""

    number: int
    params: Mapping[str, Any]
    reason: str


@settings
class SelectedMember:
    """A model of a selected ensemble.

    Attributes:
        trial: its number.
        params: searched values of the trial.
        seed: of its training.
        votes: how many times its prediction counts.
    """

    trial: int
    params: Mapping[str, Any]
    seed: int
    votes: int


@settings
class Selection:
    """An ensemble that was selected among the models of the sweep and of the confirmation.

    It may also be the winner's seeds together, where no other one does better.

    Attributes:
        members: in the order in which they were added.
        metric: name of the score that they were selected by.
        score: of the ensemble on validation rows that did not select it.
        alone: of the winner's model there, which would be served alone.
        pool: number of models that were looked at.
        latency_ms: time of one row through all members, one after another.
    """

    members: tuple[SelectedMember, ...]
    metric: str
    score: float
    alone: float
    pool: int
    latency_ms: float


@settings
class MeasuredRegions:
    """What the regions of the served models are worth on the test split.

    Attributes:
        settings: that they were calibrated by.
        levels: by level.
        temperature: of the models, as their metrics were measured too.
        rule: by which they answer a class, as their metrics were measured too.
    """

    settings: IntervalSettings
    levels: tuple[MeasuredLevel, ...]
    temperature: float = 1.0
    rule: DecisionRule | None = None


@settings
class Confirmation:
    """What a confirmation found.

    Attributes:
        metric: name of what is optimised, measured on validation.
        direction: of the metric.
        winner: number of the chosen trial.
        reason: why it was chosen, in one sentence.
        seeds: that every candidate was trained with.
        candidates: that trained to their end, in the sweep's order.
        failed: the other ones.
        seed: of the winner's model that is served where it is served alone.
        ensemble: seeds of the winner's models that are served together; None where one is.
        selection: the ensemble that is served; None where the winner's models are.
        test: metrics of what is served on the test split, read once; None before.
        regions: measured with them; None before.
    """

    metric: str
    direction: Direction
    winner: int
    reason: str
    seeds: tuple[int, ...]
    candidates: tuple[ConfirmedTrial, ...]
    failed: tuple[FailedTrial, ...]
    seed: int
    ensemble: tuple[int, ...] | None = None
    selection: Selection | None = None
    test: Mapping[str, float | None] | None = None
    regions: MeasuredRegions | None = None

    @property
    def chosen(self) -> ConfirmedTrial:
        """The winner."""
        return next(each for each in self.candidates if each.number == self.winner)

    @property
    def folds(self) -> int:
        """Models that each seed has: one, or one a fold."""
        return len(self.chosen.folds[0]) if self.chosen.folds else 1

    @property
    def members(self) -> tuple[int, ...]:
        """Seeds of the winner's models that are served where no ensemble was selected."""
        return self.ensemble or (self.seed,)


_ADAPTER: TypeAdapter[Confirmation] = TypeAdapter(Confirmation)


def write_confirmation(sweep: Path, confirmation: Confirmation) -> None:
    """Write the record into a sweep's folder; it appears complete or not at all."""
    write(sweep / FILE, _ADAPTER.dump_json(confirmation, indent=1) + b"\n")


def record_test(
    sweep: Path,
    confirmation: Confirmation,
    metrics: Mapping[str, float | None],
    regions: MeasuredRegions | None = None,
) -> None:
    """Add the metrics and regions of the models that are served on the test split."""
    # Undefined metrics are no JSON.
    finite = {
        name: value if value is not None and math.isfinite(value) else None
        for name, value in metrics.items()
    }
    write_confirmation(sweep, replace(confirmation, test=finite, regions=regions))


def forget_confirmation(sweep: Path) -> None:
    """Remove the record, if there is one."""
    (sweep / FILE).unlink(missing_ok=True)


def read_confirmation(sweep: Path) -> Confirmation | None:
    """Read the record of a sweep; None where nothing was confirmed.

    Raises:
        SearchError: it cannot be read.
    """
    try:
        return _ADAPTER.validate_json(read_bounded(sweep / FILE, _MOST_BYTES))
    except FileNotFoundError:
        return None
    except (TooLargeError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise SearchError(
            f"{FILE} cannot be read ({reason})",
            found=str(sweep / FILE),
            remedy=f"Confirm the sweep again: `rayml confirm {sweep.name}`",
        ) from error
