"""Runs the config's sweep, and finds sweeps that ran before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import ray

from rayml.config.compose import Composed, read_composed
from rayml.config.schema import Config
from rayml.data.prepare import PreparedDataset, open_prepared
from rayml.errors import ConfigError
from rayml.search.plan import SweepData, SweepPlan
from rayml.search.progress import choose_view
from rayml.search.report import write_report
from rayml.search.space import Space
from rayml.search.sweep import check_sweep, goals_of, run_sweep
from rayml.stages import show
from rayml.stages.context import Context
from rayml.stages.preflight import trial_config

_CONFIG = "config.yaml"
_DATA = "data.json"
# Of Ray's object store: the rest is for what Ray Data and the study put there.
_STORE_SHARE = 0.3


@dataclass(frozen=True)
class Found:
    """A sweep that ran: its folder, and where its seconds went."""

    folder: Path
    timings: Mapping[str, float]


def run_search(context: Context, data: PreparedDataset) -> Found:
    """Search until a budget is spent, and report."""
    plan = _plan(context)
    goal = check_sweep(plan, context.config.data.task)
    plan.folder.mkdir(parents=True, exist_ok=True)
    (plan.folder / _CONFIG).write_text(context.composed.yaml(), encoding="utf-8")
    (plan.folder / _DATA).write_text(json.dumps({"path": str(data.path.resolve())}))
    goals = goals_of(plan, context.config.data.task)
    show.line(f"sweep {plan.name}: {plan.trials} trials for the best {goals}")
    before = context.watch.total
    with context.watch.stage("sweep"):
        view = choose_view(goal.metric, show.console())
        result = run_sweep(plan, sweep_data(data), view=view)
    show.leaderboard(write_report(plan.folder))
    # As a user counts it: from the command.
    first_epoch = before + result.timings["first_epoch"]
    return Found(plan.folder, {**result.timings, "first_epoch": first_epoch})


def find_sweep(config: Config, name: str | None) -> Path:
    """Folder of a sweep by name; None is the latest one.

    Raises:
        ConfigError: there is no such sweep.
    """
    sweeps = Path(config.paths.sweeps)
    found = sorted(sweeps.glob(f"*/{_CONFIG}"), key=lambda path: path.stat().st_mtime)
    names = [path.parent.name for path in found]
    if not names or (name is not None and name not in names):
        raise ConfigError(
            "a sweep is named that there is",
            value=name,
            remedy=f"{sweeps} holds {', '.join(names[-5:]) or 'none'}",
        )
    return sweeps / (name or names[-1])


def config_of_sweep(folder: Path) -> Composed:
    """The config that a sweep was started with.

    Raises:
        ConfigError: its file cannot be read.
    """
    return read_composed(folder / _CONFIG)


def data_of_sweep(folder: Path) -> PreparedDataset:
    """The prepared dataset that a sweep's trials trained on.

    Raises:
        DataError: it is no longer in the store.
    """
    return open_prepared(Path(json.loads((folder / _DATA).read_bytes())["path"]))


def _plan(context: Context) -> SweepPlan:
    config, search = context.config, context.config.search
    model = config.model["_target_"].rpartition(".")[2].lower()
    name = search.name or f"{config.data.name}-{model}-{datetime.now():%Y%m%d-%H%M%S}"
    return SweepPlan(
        name=name,
        sweeps=Path(config.paths.sweeps),
        trial=trial_config(context.composed.plain),
        space=Space.parse(config.space),
        trials=search.trials,
        seconds=search.seconds,
        epochs=search.epochs,
        cost=search.cost,
        prices=search.prices,
        objectives=search.objectives,
        constraints=search.constraints,
        concurrency=search.concurrency,
        resources=search.resources,
        max_failures=search.max_failures,
        sampler=search.sampler,
        pruner=search.pruner,
        seed=config.seed,
    )


def sweep_data(data: PreparedDataset) -> SweepData:
    """The splits in memory, or on disk where Ray's object store has no room for them."""
    shape, target = data.preprocessor.shape, data.preprocessor.target
    room = _STORE_SHARE * ray.cluster_resources().get("object_store_memory", 0)
    if data.nbytes("train") + data.nbytes("validation") <= room:
        return SweepData(data.examples("train"), data.examples("validation"), shape, target)
    # It loads PyTorch, which the driver otherwise does without.
    from rayml.train.streaming import ParquetSplit

    train, validation = (
        ParquetSplit(tuple(data.files(split)), data.decode) for split in ("train", "validation")
    )
    return SweepData(train, validation, shape, target)
