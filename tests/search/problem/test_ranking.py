"""The one order of trials, by properties."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rayml.search.problem.pareto import dominates
from rayml.search.problem.ranking import Merit, front, rank
from rayml.types import Direction

STATES = st.sampled_from(["COMPLETE", "PRUNED", "RUNNING", "FAIL"])
VALUES = st.integers(-2, 2).map(float)


@st.composite
def sweeps(draw: Any) -> tuple[list[Merit], list[Direction]]:
    size = draw(st.integers(1, 3))
    directions = draw(
        st.lists(st.sampled_from(["minimize", "maximize"]), min_size=size, max_size=size)
    )
    trials = []
    for number in range(draw(st.integers(0, 10))):
        state = draw(STATES)
        values = draw(st.tuples(*[VALUES] * size) if state == "COMPLETE" else st.just(()))
        if state == "PRUNED":
            values = draw(st.tuples(*[st.none() | VALUES] * size))
        trials.append(Merit(number, state, values, draw(st.sampled_from([0.0, 0.5, 2.0]))))
    return trials, directions


def ranked(trials: list[Merit], directions: list[Direction]) -> list[Merit]:
    chosen = front(trials, directions)
    return sorted(trials, key=lambda each: rank(each, directions, on_front=each.number in chosen))


@given(sweeps())
def test_trials_that_ended_come_first_and_feasible_ones_before_all_others(
    sweep: tuple[list[Merit], list[Direction]],
) -> None:
    places = [
        3 if each.state == "FAIL" else 2 if each.state == "RUNNING" else int(each.violation > 0)
        for each in ranked(*sweep)
    ]
    assert places == sorted(places)


@given(sweeps())
def test_infeasible_trials_are_ranked_by_violation(
    sweep: tuple[list[Merit], list[Direction]],
) -> None:
    broken = [
        each.violation
        for each in ranked(*sweep)
        if each.violation > 0 and each.state in ("COMPLETE", "PRUNED")
    ]
    assert broken == sorted(broken)


@given(sweeps())
def test_the_front_leads_and_its_best_by_the_first_objective_wins(
    sweep: tuple[list[Merit], list[Direction]],
) -> None:
    trials, directions = sweep
    kept = [each for each in trials if each.state == "COMPLETE" and each.violation == 0]
    chosen = front(trials, directions)
    order = ranked(trials, directions)
    assert {each.number for each in order[: len(chosen)]} == chosen
    if kept:
        better = min if directions[0] == "minimize" else max
        assert order[0].values[0] == better(each.values[0] for each in kept)  # type: ignore[type-var]
        assert not any(dominates(each.values, order[0].values, directions) for each in kept)  # type: ignore[arg-type]


@given(sweeps())
def test_the_best_is_the_same_whether_or_not_the_front_is_known(
    sweep: tuple[list[Merit], list[Direction]],
) -> None:
    trials, directions = sweep
    plain = sorted(trials, key=lambda each: rank(each, directions))
    assert plain[:1] == ranked(trials, directions)[:1]


def test_one_objective_without_constraints_is_the_plain_order() -> None:
    values = [0.5, 0.75, None, 0.75, math.nan]
    trials = [Merit(i, "COMPLETE", (value,)) for i, value in enumerate(values)]
    stopped = Merit(9, "PRUNED", (0.9,))
    order = ranked([stopped, *trials], ["maximize"])
    assert [each.number for each in order] == [1, 3, 0, 2, 4, 9]


def test_a_stopped_trial_that_keeps_the_constraints_is_before_a_finished_one_that_breaks_them() -> (
    None
):
    broken, stopped = Merit(0, "COMPLETE", (0.9,), 0.1), Merit(1, "PRUNED", (0.1,))
    assert ranked([broken, stopped], ["maximize"]) == [stopped, broken]
