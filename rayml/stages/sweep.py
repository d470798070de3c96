"""Runs the config's sweep, and finds sweeps that ran before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from rayml.cluster.resources import total_resources
from rayml.config.stored import require_trusted_params
from rayml.data.prepare.prepare import PreparedDataset
from rayml.errors import DataError
from rayml.search.cohort.plan import SweepData
from rayml.search.journal.repair import TORN
from rayml.search.journal.sweep_status import read_status
from rayml.search.problem.sweep_plan import JOURNAL, TIMINGS, SweepPlan
from rayml.search.report.tables import write_tables
from rayml.search.results.confirmation import FILE as CONFIRMATION
from rayml.search.results.progress import choose_view
from rayml.search.space.space import Space
from rayml.search.space.suggestions import adopt_suggestions
from rayml.search.study.claim import claimed
from rayml.search.sweep import check_sweep, run_sweep
from rayml.settings.search import SearchSettings
from rayml.stages.checks.preflight import trial_config
from rayml.stages.commands import show
from rayml.stages.commands.sweep_folder import CONFIG, find_sweep
from rayml.stages.context import Context
from rayml.stages.sweeps.sweep_data import write_data
from rayml.storage.disk import write
from rayml.train.families import FAMILY

# Names of a sweep's page for the stages before it.
_BEFORE = {"start": "start Ray", "data": "prepare"}
# Of Ray's object store, for prepared splits; Ray Data and the study need the rest.
_STORE_SHARE = 0.3


@dataclass(frozen=True)
class FinishedSweep:
    """A sweep that ran.

    Attributes:
        folder: of the sweep.
        timings: seconds by stage; `first_epoch` counts from the command.
    """

    folder: Path
    timings: Mapping[str, float]


def run_search(context: Context, data: PreparedDataset) -> FinishedSweep:
    """Search until a budget is spent, and report; continue the context's sweep if it has one.

    Raises:
        SearchError: the sweep's name is taken, or see `run_sweep`.
    """
    plan = _plan(context)
    with claimed(plan.folder, resume=plan.resume):
        return _run(context, plan, data)


def _run(context: Context, plan: SweepPlan, data: PreparedDataset) -> FinishedSweep:
    goals = check_sweep(plan, context.config.data.task)
    done = 0
    if plan.resume:
        status = read_status(plan.folder / JOURNAL)
        for params in status.params:
            require_trusted_params(params, context.trust)
        done = status.finished
        if status.torn:
            show.line(
                f"the journal ends in an unfinished line of {status.torn} bytes, which moves to"
                f" {JOURNAL}{TORN}"
            )
        if context.extended:
            _replace_config(plan.folder, context.composed.yaml())
        show.line(
            f"sweep {plan.name} continues for the best {goals}:"
            f" {done_of_budget(done, plan.search)} trials are finished, {status.running} continue"
            " from their checkpoints"
        )
    else:
        # Before the journal, so that a sweep with a journal can be resumed.
        write(plan.folder / CONFIG, context.composed.yaml())
        write_data(plan.folder, data)
        for line in adopt_suggestions(plan.search.suggestions, plan.space, plan.trial).unfit:
            show.line(line)
        show.line(f"sweep {plan.name}: {budget_text(plan.search)} for the best {goals}")
    go_on = context.command("sweep", f"resume={plan.name}")
    words = f"sweep {plan.name} is not finished; continue with {go_on}"
    context.so_far.say(words, once=plan.folder / JOURNAL)
    before = context.watch.total
    with context.watch.stage("sweep"):
        view = choose_view(goals.first.metric, show.console(), done)
        result = run_sweep(plan, sweep_data(data), goals=goals, view=view)
    _add_timings(plan.folder, context.watch.rows())
    show.leaderboard(write_tables(plan.folder))
    show.line(f"`rayml report {plan.name}` writes its page")
    say_finished(context, plan.name)
    first_epoch = before + result.timings["first_epoch"]
    return FinishedSweep(plan.folder, {**result.timings, "first_epoch": first_epoch})


def budget_text(search: SearchSettings) -> str:
    """What a sweep may spend, in words; of several budgets the one of trials."""
    budgets = {"trials": search.trials, "seconds": search.seconds, "epochs": search.epochs}
    budgets_given = [f"{most:g} {name}" for name, most in budgets.items() if most is not None]
    return budgets_given[0] if budgets_given else f"a cost of {search.cost:g}"


def done_of_budget(done: int, search: SearchSettings) -> str:
    """How many trials are finished, and of how many if there is a limit."""
    return f"{done}" if search.trials is None else f"{done} of {search.trials}"


def say_finished(context: Context, name: str) -> None:
    """Record that a sweep is finished, and how to register its winner."""
    register = context.command("register", name, about=("name", "registry"))
    context.so_far.say(f"sweep {name} is finished; make its winner a version with {register}")


def show_finished(context: Context) -> bool:
    """Print the leaderboard of a resumed sweep whose budget is spent; False if it is not."""
    if context.resumed is None:
        return False
    status = read_status(context.resumed / JOURNAL)
    if not status.is_over(context.config.search):
        return False
    show.line(
        f"sweep {context.resumed.name} is finished: {status.finished} trials;"
        f" `rayml sweep extend={context.resumed.name} search.trials=+N` adds some"
    )
    show.leaderboard(write_tables(context.resumed))
    if context.config.confirm.top and not (context.resumed / CONFIRMATION).exists():
        show.line(
            f"its winner is not confirmed; confirm it with `rayml confirm {context.resumed.name}`"
        )
    return True


def _add_timings(folder: Path, spent: Mapping[str, float]) -> None:
    """Add the seconds of the stages before a sweep to its own, for its page."""
    own = json.loads((folder / TIMINGS).read_text(encoding="utf-8"))
    before = {key: spent[stage] for key, stage in _BEFORE.items() if stage in spent}
    write(folder / TIMINGS, json.dumps({**before, **own}, indent=2))


def _replace_config(folder: Path, text: str) -> None:
    """Replace the config of a sweep, and keep the one before as `config.<n>.yaml`."""
    current = folder / CONFIG
    before = current.read_text(encoding="utf-8")
    older = len(list(folder.glob("config.*.yaml")))
    write(folder / f"config.{older + 1}.yaml", before)
    write(current, text)


def _plan(context: Context) -> SweepPlan:
    config, search = context.config, context.config.search
    several = FAMILY in config.model
    model = "families" if several else config.model["_target_"].rpartition(".")[2].lower()
    name = search.name or f"{config.data.name}-{model}-{datetime.now():%Y%m%d-%H%M%S}"
    sweeps = Path(config.paths.sweeps)
    if context.resumed is not None:
        # The stored config may name another folder or none, since a sweep can be moved.
        name, sweeps = context.resumed.name, context.resumed.parent
    return SweepPlan(
        name=name,
        sweeps=sweeps,
        trial=trial_config(context.composed.plain),
        space=Space.parse(config.space),
        search=search,
        seed=config.seed,
        resume=context.resumed is not None,
        warm_start=tuple(find_sweep(sweeps, each) for each in search.warm_start),
    )


def sweep_data(data: PreparedDataset) -> SweepData:
    """The splits in memory, or on disk where Ray's object store has no room for them.

    Raises:
        DataError: there are folds, which are lanes of rows in memory, and no room for them.
    """
    shape, target = data.preprocessor.shape, data.preprocessor.target
    room = _STORE_SHARE * total_resources().object_store
    if (folds := data.dealt()) is not None:
        if (taken := data.nbytes("train")) > room:
            raise DataError(
                f"data.split.folds={data.folds} holds out rows in memory, and {taken:,} bytes of"
                f" rows are more than Ray's object store has room for ({room:,.0f})",
                remedy="Leave data.split.folds out; so many rows hardly need folds",
            )
        train = data.examples("train")
        return SweepData(train, train.rows(np.empty(0, np.int64)), shape, target, folds)
    if data.nbytes("train") + data.nbytes("validation") <= room:
        return SweepData(data.examples("train"), data.examples("validation"), shape, target)
    # It loads PyTorch, which the driver does not need otherwise.
    from rayml.train.loop.streaming import ParquetSplit

    streamed, validation = (
        ParquetSplit(tuple(data.files(split)), data.decode) for split in ("train", "validation")
    )
    return SweepData(streamed, validation, shape, target)
