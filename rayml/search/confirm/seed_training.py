"""Trains candidates over several seeds, side by side on the cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from rayml.cluster.resources import total_resources
from rayml.errors import ConfigError, StorageError
from rayml.search.cohort.plan import SweepData
from rayml.search.confirm.seed_files import SeedFiles
from rayml.search.results.candidates import Candidate
from rayml.settings.search import ConfirmSettings, ResourceSettings
from rayml.train.blame import explain
from rayml.train.build import is_estimator, objective
from rayml.train.folds.parts import fold_values
from rayml.train.seed_results import FailedSeed, SeedResult
from rayml.train.seeds import train_seeds
from rayml.types import Examples


@dataclass(frozen=True, kw_only=True)
class ConfirmPlan:
    """One confirmation.

    Attributes:
        sweep: folder of the sweep.
        trial: plain config that its trials started from.
        settings: how many trials, seeds and members.
        resources: of one training.
        max_failures: restarts of a training whose worker died.
    """

    sweep: Path
    trial: Mapping[str, Any]
    settings: ConfirmSettings = field(default_factory=ConfirmSettings)
    resources: ResourceSettings = field(default_factory=ResourceSettings)
    max_failures: int = 3


@dataclass(frozen=True, slots=True)
class Score:
    """A seed's result without its weights, which stay on the disk; `folds` are values by fold."""

    seed: int
    value: float
    parameters: int
    steps: int
    seconds: float
    folds: tuple[float, ...] = ()


def retrain(
    plan: ConfirmPlan, found: Sequence[Candidate], seeds: Sequence[int], data: SweepData
) -> Iterator[tuple[Candidate, list[Score] | str]]:
    """Train all candidates with all seeds, as many side by side as the cluster holds.

    Yields:
        Each candidate when its last seed is done: the scores in the order of the seeds; or why
        one of them did not train to its end.

    Raises:
        ConfigError: the cluster cannot hold a training.
        StorageError: the disk takes no more results; those that are there stay.
    """
    _require_room(plan.resources)
    running = _start(plan, found, seeds, data)
    outcomes: dict[int, list[list[Score] | str]] = {each.number: [] for each in found}
    units = Counter(each.number for each in running.values())
    pending = list(running)
    try:
        while pending:
            (done,), pending = ray.wait(pending)
            candidate = running[done]
            outcomes[candidate.number].append(_outcome(done))
            if len(outcomes[candidate.number]) == units[candidate.number]:
                yield candidate, _joined(outcomes[candidate.number])
    finally:
        for each in pending:
            ray.cancel(each, force=True)


def _start(
    plan: ConfirmPlan, found: Sequence[Candidate], seeds: Sequence[int], data: SweepData
) -> dict[Any, Candidate]:
    task = ray.remote(
        num_cpus=plan.resources.cpu,
        num_gpus=plan.resources.gpu,
        # Of a worker that died; a training that raises returns its error.
        max_retries=plan.max_failures,
    )(_train_unit)
    sweep, shared = plan.sweep.resolve(), ray.put(data)
    threads = max(1, int(plan.resources.cpu))
    return {
        task.remote(sweep, each, unit, shared, threads): each
        for each in found
        for unit in _units(each, seeds, data)
    }


def _units(candidate: Candidate, seeds: Sequence[int], data: SweepData) -> Iterator[Sequence[int]]:
    """The seeds that one worker trains."""
    # As lanes all seeds of a candidate take about the time of one; neither an estimator nor a
    # streamed split has lanes, and their seeds train side by side.
    lanes = isinstance(data.train, Examples) and not is_estimator(candidate.config["model"])
    together = len(seeds) if lanes else 1
    for start in range(0, len(seeds), together):
        yield seeds[start : start + together]


def _joined(outcomes: Sequence[list[Score] | str]) -> list[Score] | str:
    reasons = [outcome for outcome in outcomes if isinstance(outcome, str)]
    scores = [score for outcome in outcomes if not isinstance(outcome, str) for score in outcome]
    return reasons[0] if reasons else sorted(scores, key=lambda score: score.seed)


def _train_unit(
    sweep: Path, candidate: Candidate, seeds: Sequence[int], data: SweepData, threads: int = 1
) -> list[Score] | str:
    """Train some seeds of a candidate, in a worker; those whose files are whole are done.

    Returns:
        Their scores; or why one could not train to its end, where the others are kept for a
        confirmation that needs them.
    """
    files = SeedFiles(sweep, candidate.number, candidate.config)
    try:
        results = {seed: files.find(seed) for seed in seeds}
        missing = [seed for seed, result in results.items() if result is None]
        failed: list[FailedSeed] = []
        for result in train_seeds(
            candidate.config,
            missing,
            train=data.train,
            validation=data.validation,
            shape=data.shape,
            target=data.target,
            threads=threads,
            folds=data.folds,
        ):
            if isinstance(result, FailedSeed):
                failed.append(result)
            else:
                files.save(result)
                results[result.seed] = result
    except StorageError:
        raise
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        return explain(error)
    for each in failed:
        return f"{type(each.error).__name__}: {each.error}; its seed was {each.seed}"
    metric = objective(candidate.config["task"], data.target.task).metric
    return [_score(each, metric) for each in results.values() if each is not None]


def _score(result: SeedResult, metric: str) -> Score:
    folds = tuple(fold_values(metric, result.best.metrics))
    value, spent = result.best.value, (result.parameters, result.steps, result.seconds)
    return Score(result.seed, value, *spent, folds)


def _outcome(done: Any) -> list[Score] | str:
    try:
        outcome: list[Score] | str = ray.get(done)
    except RayTaskError as error:
        if isinstance(error.cause, StorageError):
            raise error.cause from None
        raise
    except RayError as error:  # its restarts are spent
        text = " ".join(str(error).split())
        return f"its worker died: {text}"
    return outcome


def _require_room(resources: ResourceSettings) -> None:
    """Refuse what the cluster lacks, which Ray would wait for."""
    cluster = total_resources()
    for name, wanted, has in (
        ("CPU", resources.cpu, cluster.cpus),
        ("GPU", resources.gpu, cluster.gpus),
    ):
        if wanted > has:
            raise ConfigError(
                f"a training takes {wanted:g} {name}s, and the cluster has {has:g}",
                remedy="Lower search.resources, or add a machine",
            )
