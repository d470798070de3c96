"""The library of a sweep: every trained model that an ensemble may be selected from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rayml.data.split.folds import FoldNumbers
from rayml.errors import SearchError
from rayml.search.cohort.plan import SweepData
from rayml.search.cohort.worker import read_held_out, read_weights
from rayml.search.confirm.seed_files import SeedFiles
from rayml.search.problem.sweep_plan import TRIALS
from rayml.search.results.candidates import distinct
from rayml.search.results.confirmation import Confirmation
from rayml.search.results.leaderboard import Leaderboard
from rayml.search.space.parameter import Params
from rayml.tasks.objectives import MEASURED
from rayml.tasks.table import outputs_of
from rayml.train.build import apply, build_member, build_trial_task
from rayml.train.folds.parts import parted
from rayml.train.loop.results import BestEpoch
from rayml.train.seed_results import SeedResult
from rayml.types import Examples, Features

if TYPE_CHECKING:
    from torch import Tensor

    from rayml.models.estimators.members import Member
    from rayml.tasks.task import Task

_MOST_TRIALS = 40
_OF_TRAINING = ("train_loss", *MEASURED)  # not of the model on validation rows
_MOST_ROWS = 50_000
_MOST_NUMBERS = 40_000_000  # of all predictions together
_TIMED = 30  # rows, one after another


@dataclass(frozen=True)
class LibraryModel:
    """A trained model; of a sweep with folds one a fold, which are chosen together.

    Attributes:
        trial: its number.
        params: searched values of the trial.
        config: of the trial.
        seed: of its training.
        own: its result in the sweep; None for a seed of the confirmation.
        as_trained: whether it is as the sweep trained it, if it is kept among the seeds too.
    """

    trial: int
    params: Params
    config: Mapping[str, Any]
    seed: int
    own: BestEpoch | None
    as_trained: bool = False

    def result(self, sweep: Path) -> SeedResult:
        """Its weights, and how it was trained.

        Raises:
            CheckpointError: those of a seed are gone.
            SearchError: those of a trial are gone.
        """
        if self.own is None:
            return SeedFiles(sweep, self.trial, self.config).load(self.seed)
        weights = read_weights(sweep / TRIALS / str(self.trial))
        parameters = sum(each.numel() for each in weights.values())
        return SeedResult(self.seed, self.own, weights, parameters, steps=0, seconds=0.0)

    def keep(self, sweep: Path) -> None:
        """Keep it among the seeds of the confirmation, where a sweep that goes on leaves it be."""
        if self.own is not None:
            SeedFiles(sweep, self.trial, self.config).save(self.result(sweep))


@dataclass(frozen=True)
class Predicted:
    """What the models of a library predict for some validation rows.

    With folds these are rows of all folds, and each is predicted by the model that did not train on
    it: a model of the library is then one a fold, and all of them predict at an endpoint.

    Attributes:
        predictions: as of `Task.predict`, [models, rows, …].
        truth: of the rows, as metrics take it.
        latencies: milliseconds of one row, of each model.
    """

    predictions: Tensor
    truth: Tensor
    latencies: Sequence[float]


def library(
    board: Leaderboard, trial: Mapping[str, Any], confirmation: Confirmation
) -> list[LibraryModel]:
    """The models of a confirmed sweep: all seeds of its candidates, and its best trials themselves.

    The model that would be served alone is the first, the winner's other ones follow.

    Args:
        board: the sweep's trials, best first.
        trial: plain config that they started from.
        confirmation: of the sweep.
    """
    winner, served = confirmation.winner, confirmation.seed
    found = [
        LibraryModel(
            each.number, each.params, apply(trial, each.params), seed, None, not each.steps
        )
        for each in sorted(confirmation.candidates, key=lambda trained: trained.number != winner)
        for seed in sorted(confirmation.seeds, key=lambda seed: seed != served)
    ]
    confirmed = {(each.trial, each.seed) for each in found}
    own = own_models(board, trial, most=_MOST_TRIALS)
    return [*found, *(each for each in own if (each.trial, each.seed) not in confirmed)]


def own_models(
    board: Leaderboard, trial: Mapping[str, Any], *, most: int
) -> Iterator[LibraryModel]:
    """The models of a sweep's trials at their best epochs, as the sweep left them, best first.

    What was pruned counts by the value that its weights have.

    Args:
        board: the sweep's trials, best first.
        trial: plain config that they started from.
        most: models at most.
    """
    ended = [row for row in board.rows if row.state in {"COMPLETE", "PRUNED"} and row.feasible]
    rows = {row.number: row for row in ended if row.epoch is not None and row.value is not None}
    sign = 1.0 if board.direction == "minimize" else -1.0
    ranked = sorted(rows.values(), key=lambda row: (sign * (row.value or 0.0), row.number))
    for each in distinct(ranked, trial, most):
        row = rows[each.number]
        assert row.epoch is not None
        assert row.value is not None
        measured = row.curve[row.epoch][1].items()
        metrics = {k: v for k, v in measured if v is not None and k not in _OF_TRAINING}
        best = BestEpoch(row.epoch, row.value, metrics)
        seed = each.config["train"]["seed"]
        yield LibraryModel(each.number, each.params, each.config, seed, best, as_trained=True)


def predict_all(
    models: Sequence[LibraryModel], sweep: Path, data: SweepData, seconds: float | None = None
) -> Predicted:
    """Let the models of a library predict validation rows, as many as memory is bounded to.

    Args:
        models: of the library.
        sweep: folder of the sweep.
        data: that they trained on.
        seconds: after which no further model predicts; None has all of them predict.

    Returns:
        What the first models predict, as many as there was time for; always one. A trial whose
        weights are gone predicts NaN, which no ensemble takes.

    Raises:
        CheckpointError: the weights of a seed are gone.
        SearchError: the weights of the first model are gone.
    """
    import torch

    task = build_trial_task(models[0].config["task"], data.target)
    outputs = outputs_of(data.target)
    rows = _rows(data, _MOST_NUMBERS // (len(models) * outputs))
    predictions: list[Tensor] = []
    latencies: list[float] = []
    started = time.monotonic()
    with torch.inference_mode():
        for model in models:
            if predictions and seconds is not None and time.monotonic() - started > seconds:
                break
            try:
                weights = model.result(sweep).weights
            except SearchError:
                if not predictions:
                    raise
                predictions.append(torch.full_like(predictions[0], torch.nan))
                latencies.append(0.0)
                continue
            found = _predicted(model, parted(weights), sweep, data, rows)
            predictions.append(task.predict(found.outputs))
            latencies.append(found.latency)
        truth = task.truth(torch.from_numpy(rows.examples.target))
    return Predicted(torch.stack(predictions), truth, latencies)


@dataclass(frozen=True)
class _Rows:
    """Rows that the library predicts.

    Attributes:
        examples: the rows.
        held: the fold that holds each one out; None where there is one model.
        chosen: their places among all rows that validate.
        count: of all rows that validate.
    """

    examples: Examples
    held: FoldNumbers | None
    chosen: npt.NDArray[np.int64]
    count: int


@dataclass(frozen=True)
class _Outputs:
    """What a model of the library gives for the rows, and its milliseconds of one row."""

    outputs: Tensor
    latency: float


def _predicted(
    model: LibraryModel,
    parts: Sequence[Mapping[str, Tensor]],
    sweep: Path,
    data: SweepData,
    rows: _Rows,
) -> _Outputs:
    """Let a model predict the rows, or read what it predicted for them when it was trained."""

    def built(weights: Mapping[str, Tensor]) -> Member:
        return build_member(model.config, weights, shape=data.shape, target=data.target)

    kept = read_held_out(sweep / TRIALS / str(model.trial)) if model.as_trained else None
    if kept is not None and len(kept) == rows.count:
        # The models of the folds are alike: one of them tells how long each takes.
        one = _milliseconds(built(parts[0]), rows.examples.features)
        return _Outputs(kept[rows.chosen], len(parts) * one)
    members = [built(each) for each in parts]
    features = rows.examples.features
    latency = sum(_milliseconds(each, features) for each in members)
    return _Outputs(outputs_by_fold(members, features, rows.held), latency)


def outputs_by_fold(
    members: Sequence[Member], features: Features, held: FoldNumbers | None
) -> Tensor:
    """Outputs for rows that no model has trained on, [rows, outputs].

    Args:
        members: one model, or one a fold.
        features: of the rows.
        held: the fold that holds each row out; None where there is one model.
    """
    import torch

    if held is None:
        (member,) = members
        return member.outputs(features)
    places = [np.flatnonzero(held == fold) for fold in range(len(members))]
    parts = [
        member.outputs(features.rows(own))
        for member, own in zip(members, places, strict=True)
        if len(own)
    ]
    order = np.argsort(np.concatenate(places))
    return torch.cat(parts)[torch.from_numpy(order)]


def score_of(task: Task) -> Callable[[Tensor, Tensor], Tensor]:
    """The score that is best for the true probabilities or means, of stacked predictions."""
    measure = task.metrics[task.proper_metric]

    def score(predictions: Tensor, truth: Tensor) -> Tensor:
        found: Tensor = measure(predictions, truth)  # type: ignore[assignment]
        return found

    return score


def _rows(data: SweepData, most: int) -> _Rows:
    """So many rows that validate, at most."""
    found = data.validation if data.folds is None else data.train
    rows = found if isinstance(found, Examples) else found.read()
    held = None if data.folds is None else data.folds.held
    count, most = len(rows), max(1, min(most, _MOST_ROWS))
    if count <= most:
        return _Rows(rows, held, np.arange(count), count)
    chosen = np.sort(np.random.default_rng(0).choice(count, most, replace=False))
    return _Rows(rows.rows(chosen), None if held is None else held[chosen], chosen, count)


def _milliseconds(member: Member, features: Features) -> float:
    """The least time of one row, of rows that come one by one: other work only adds to it."""
    times = []
    for at in range(min(_TIMED, len(features))):
        row = Features(features.numeric[at : at + 1], features.categorical[at : at + 1])
        start = time.perf_counter()
        member.single(row)
        times.append(time.perf_counter() - start)
    return 1000 * min(times)
