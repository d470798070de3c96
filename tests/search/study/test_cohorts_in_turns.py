"""A study with turns gives the same trials, whoever asks when."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.trial import FrozenTrial

from rayml.search.journal.journal import read_study
from rayml.search.problem.study_plan import StudyPlan
from rayml.search.problem.trials import AskedTrial, Ended, Report
from rayml.search.space.space import Space
from rayml.search.study.study import Study
from rayml.search.study.turn_order import AnyOrder, RoundRobin, TurnOrder
from rayml.settings.search import PrunerSettings, SamplerSettings
from tests.search.conftest import TREE
from tests.search.plans import study_plan

EPOCHS = 4


@pytest.fixture
def make_plan(tmp_path: Path, config: dict[str, Any]) -> Callable[..., StudyPlan]:
    def make(**changes: Any) -> StudyPlan:
        journal = tmp_path / f"{len(list(tmp_path.iterdir()))}.log"
        plan: dict[str, Any] = {
            "name": "s", "journal": journal, "space": Space.parse(TREE), "trial": config,
            "metric": "accuracy", "direction": "maximize", "trials": 24, "max_epochs": EPOCHS,
            "sampler": SamplerSettings(name="tpe", startup_trials=4),
            "pruner": PrunerSettings(name="asha", reduction=2), "started": time.time(),
            "slots": 2,
        }  # fmt: skip
        return study_plan(**(plan | changes))

    return make


def order_of(plan: StudyPlan) -> TurnOrder:
    return AnyOrder() if plan.slots is None else RoundRobin(plan.slots)


def value(trial: AskedTrial, epoch: int) -> float:
    """Follows from the trial alone, as training does."""
    rate = trial.params["train.optimizer.lr"]
    assert isinstance(rate, float)
    return random.Random(f"{trial.params} {epoch}").random() - abs(rate - 0.01) + epoch


def worker(study: Study, cohort: int, first: list[AskedTrial]) -> Iterator[None]:
    """What a cohort's worker does with the study; it may be held up wherever it yields."""
    trials = {each.number: 0 for each in first}
    asked = {each.number: each for each in first}
    fixed = {"model.width": first[0].params["model.width"]}
    taken = 0
    while trials or not taken:
        if taken:
            for number in trials:
                trials[number] += 1
        while not study.take_turn(cohort):
            yield
        yield
        if taken:
            _exchange(study, trials, asked)
        if len(asked) < 6:
            for each in study.ask(3 - len(trials), fixed, cohort=cohort):
                asked[each.number], trials[each.number] = each, 0
        yield
        study.end_turn(cohort)
        taken += 1
        yield
    study.leave(cohort)


def _exchange(study: Study, trials: dict[int, int], asked: dict[int, AskedTrial]) -> None:
    reports = [
        Report(number, epoch, value(asked[number], epoch), {}, 0.0, 0.0, 1)
        for number, epoch in trials.items()
    ]
    ended = []
    for each, decision in zip(reports, study.report(reports), strict=True):
        if each.epoch == EPOCHS:
            ended.append(Ended(each.number, "COMPLETE"))
        elif decision.action == "prune":
            ended.append(Ended(each.number, "PRUNED", decision.reason))
    study.tell(ended)
    for each_ended in ended:
        del trials[each_ended.number]


def sweep(study: Study, slots: int, draw: Callable[[int], int]) -> None:
    """Run cohorts to their end, in each step one that is drawn, or the driver (the first)."""
    workers: list[Iterator[None]] = []
    finished, idle = False, 0
    while not finished or workers:
        chosen = draw(len(workers) + 1)
        if chosen < len(workers):
            try:
                next(workers[chosen])
            except StopIteration:
                del workers[chosen]
        elif not finished and len(workers) < slots:
            offered = study.next_cohort(tune_trial=f"tune-{random.random()}")
            if offered is not None and offered[1]:
                workers.append(worker(study, *offered))
            finished = offered is not None and not offered[1]
        idle += 1
        assert idle < 200_000, "no one can go on"


def outcome(journal: Path) -> list[tuple[Any, ...]]:
    def known(trial: FrozenTrial) -> tuple[Any, ...]:
        cohort = trial.system_attrs["cohort"]
        return (
            trial.number, trial.state.name, trial.params, trial.values, cohort,
            trial.intermediate_values, trial.user_attrs.get("reason"),
        )  # fmt: skip

    return [known(trial) for trial in read_study(journal).trials]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), slots=st.integers(1, 3), epochs=st.sampled_from([None, 30]))
def test_trials_do_not_depend_on_who_is_late(
    make_plan: Callable[..., StudyPlan], seed: int, slots: int, epochs: int | None
) -> None:
    found = []
    for order in (0, seed):
        plan = make_plan(slots=slots, epochs=epochs)
        study = Study(plan, order=order_of(plan))
        sweep(study, slots, random.Random(order).randrange)
        study.close()
        found.append(outcome(plan.journal))
    assert found[0] == found[1]
    assert len({each[4] for each in found[0]}) > 1  # cohorts
    assert {each[1] for each in found[0]} == {"COMPLETE", "PRUNED"}


def test_without_turns_they_do_depend_on_it(make_plan: Callable[..., StudyPlan]) -> None:
    found = []
    for seed in range(6):
        plan = make_plan(slots=None)
        study = Study(plan, order=order_of(plan))
        sweep(study, 2, random.Random(seed).randrange)
        study.close()
        found.append(outcome(plan.journal))
    assert any(each != found[0] for each in found)


def test_a_cohort_is_offered_when_its_turn_comes(make_plan: Callable[..., StudyPlan]) -> None:
    plan = make_plan(trials=3)
    study = Study(plan, order=order_of(plan))
    first = study.next_cohort(tune_trial="a")
    second = study.next_cohort(tune_trial="b")
    assert first is not None
    assert second is not None
    assert study.next_cohort(tune_trial="a") == first  # its answer was lost
    assert study.take_turn(first[0])
    assert not study.take_turn(second[0])
    study.leave(first[0])
    assert not study.take_turn(second[0])
    third = study.next_cohort(tune_trial="c")
    assert third is not None
    assert third[1]
    assert study.take_turn(second[0])
    # No cohort will come any more: those that are left go on, and the driver hears of the end.
    assert study.next_cohort(tune_trial="d") == (3, [])
    study.leave(second[0])
    assert study.take_turn(third[0])
    study.close()


def test_cohorts_of_a_study_that_died_go_on(make_plan: Callable[..., StudyPlan]) -> None:
    plan = make_plan(trials=2, session="one")
    study = Study(plan, order=order_of(plan))
    offers = [study.next_cohort(tune_trial="a"), study.next_cohort(tune_trial="b")]
    study.close()
    again = Study(plan, resume=True, order=order_of(plan))
    assert again.next_cohort(tune_trial="b") == offers[1]
    numbers = [offer[0] for offer in offers if offer is not None]
    had = []
    for _ in range(4):
        for number in reversed(numbers):
            if again.take_turn(number):
                had.append(number)
                again.end_turn(number)
    assert set(had) == set(numbers)
    again.close()


def test_what_a_dead_driver_left_is_offered_in_turn(make_plan: Callable[..., StudyPlan]) -> None:
    plan = make_plan(trials=2, session="one")
    study = Study(plan, order=order_of(plan))
    for name in "ab":
        study.next_cohort(tune_trial=name)
    study.close()
    again = Study(replace(plan, session="two"), resume=True, order=order_of(plan))
    left = [again.next_cohort(tune_trial=name) for name in "cd"]
    assert [each[0] for each in left if each is not None] == [0, 1]
    assert again.next_cohort(tune_trial="e") == (2, [])
    assert again.take_turn(0)
    again.leave(0)
    assert again.take_turn(1)
    again.close()
