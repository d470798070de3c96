"""Whoever cannot be told apart from the best mean may win, and the cheapest of them does."""

from __future__ import annotations

import dataclasses
import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.search.results.choice import Measured, choose, interval, middle_seeds

values = st.floats(-1e3, 1e3, allow_nan=False).map(lambda value: round(value, 3))
directions = st.sampled_from(["minimize", "maximize"])


@st.composite
def trials(draw: st.DrawFn) -> list[Measured]:
    seeds = draw(st.integers(2, 6))
    numbers = draw(st.lists(st.integers(0, 50), min_size=1, max_size=5, unique=True))
    return [
        Measured(
            number,
            draw(st.lists(values, min_size=seeds, max_size=seeds)),
            parameters=draw(st.integers(1, 4)),
            steps=draw(st.integers(1, 4)),
        )
        for number in numbers
    ]


@given(st.lists(values, min_size=1, max_size=10), st.randoms())
def test_an_interval_lies_within_the_values_and_has_no_order(
    seen: list[float], draw: random.Random
) -> None:
    low, high = interval(seen)
    assert min(seen) <= low <= high <= max(seen)
    shuffled = list(seen)
    draw.shuffle(shuffled)
    assert interval(shuffled) == (low, high)


@given(st.lists(values, min_size=2, max_size=8), st.floats(-100, 100), st.floats(0.1, 10))
def test_an_interval_moves_and_scales_with_the_values(
    seen: list[float], shift: float, scale: float
) -> None:
    low, high = interval(seen)
    moved = interval([scale * value + shift for value in seen])
    assert moved == pytest.approx((scale * low + shift, scale * high + shift), abs=1e-6)


def test_an_interval_is_that_of_all_resamples() -> None:
    """Of a few values all samples can be listed."""
    for seen in ([0.0, 1.0, 5.0], [0.1, 0.5, 0.2, 0.9]):
        means = [np.mean(sample) for sample in itertools.product(seen, repeat=len(seen))]
        expected = np.percentile(means, [2.5, 97.5], method="inverted_cdf")
        assert interval(seen) == pytest.approx(tuple(expected), abs=1e-9)


def test_an_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    draws = np.random.default_rng(1).normal(size=(300, 30))
    covered = [low <= 0 <= high for low, high in map(interval, draws)]
    assert 0.89 <= np.mean(covered) <= 0.99


@given(trials(), directions)
def test_the_winner_is_the_cheapest_of_those_near_the_best_mean(
    measured: list[Measured], direction: str
) -> None:
    choice = choose(measured, direction)  # type: ignore[arg-type]
    by_number = {each.number: each for each in measured}
    sign = 1 if direction == "minimize" else -1
    best = by_number[choice.ties[0]]
    assert all(sign * best.mean <= sign * each.mean for each in measured)
    assert choice.winner in choice.ties
    winner = by_number[choice.winner]
    for number in choice.ties:
        other = by_number[number]
        assert (winner.parameters, winner.steps) <= (other.parameters, other.steps)
    for number in set(by_number) - set(choice.ties):
        losses = [
            sign * (b - a) for a, b in zip(best.values, by_number[number].values, strict=True)
        ]
        assert interval(losses)[0] > 0


@given(trials(), directions, st.randoms())
def test_the_choice_does_not_depend_on_the_order(
    measured: list[Measured],
    direction: str,
    draw: random.Random,
) -> None:
    shuffled = list(measured)
    draw.shuffle(shuffled)
    assert choose(shuffled, direction) == choose(measured, direction)  # type: ignore[arg-type]


@given(trials())
def test_less_of_a_loss_is_more_of_its_negative(measured: list[Measured]) -> None:
    mirrored = [dataclasses.replace(each, values=[-v for v in each.values]) for each in measured]
    assert choose(mirrored, "maximize").winner == choose(measured, "minimize").winner


@given(trials(), directions)
def test_a_far_better_trial_wins_whatever_it_costs(
    measured: list[Measured], direction: str
) -> None:
    far = 1e6 if direction == "maximize" else -1e6
    count = len(measured[0].values)
    dear = Measured(99, [far + n for n in range(count)], parameters=10**9, steps=10**9)
    choice = choose([*measured, dear], direction)  # type: ignore[arg-type]
    assert (choice.winner, choice.ties) == (99, (99,))


SMALL = Measured(3, [0.90, 0.92, 0.91, 0.93], parameters=100, steps=40)
LARGE = Measured(7, [0.92, 0.91, 0.93, 0.92], parameters=5000, steps=40)


def test_a_tie_goes_to_fewer_weights_and_says_so() -> None:
    choice = choose([LARGE, SMALL], "maximize")
    assert (choice.winner, choice.ties) == (3, (7, 3))
    assert choice.reason == (
        "trial 3 cannot be told apart from the best mean, trial 7's, and is the cheapest of 2"
        " that are not told apart: 100 weights against up to 5,000"
    )


def test_of_equal_weights_to_fewer_steps_then_to_the_better_mean_then_to_the_lower_number() -> None:
    shorter = dataclasses.replace(LARGE, parameters=100, steps=20)
    choice = choose([SMALL, shorter], "maximize")
    assert choice.winner == 7
    assert choice.reason.startswith("trial 7 has the best mean, and is the cheapest of 2")
    assert "20 training steps against up to 40" in choice.reason
    alike = dataclasses.replace(LARGE, parameters=100)
    choice = choose([SMALL, alike], "maximize")
    assert choice.winner == 7
    assert choice.reason.endswith("cost the same")
    assert choose([dataclasses.replace(SMALL, number=9), SMALL], "maximize").winner == 3


def test_a_steady_difference_is_no_tie_though_the_values_overlap() -> None:
    """The same seed lifts both: what counts is the difference seed by seed."""
    better = Measured(1, [0.5, 0.7, 0.9], parameters=9, steps=1)
    worse = Measured(2, [0.49, 0.69, 0.89], parameters=1, steps=1)
    choice = choose([better, worse], "maximize")
    assert choice.winner == 1
    assert choice.reason == (
        "trial 1 has the best mean, and is better than each other one with the same seeds"
    )


def test_no_other_comes_near_only_where_no_interval_does() -> None:
    best = Measured(1, [0.90, 0.91, 0.92], parameters=9, steps=1)
    far = Measured(2, [0.50, 0.51, 0.52], parameters=1, steps=1)
    assert choose([best, far], "maximize").reason.endswith("no other comes near it")
    assert choose([far, best], "minimize").reason.startswith("trial 2 has the best mean, and no")
    assert choose([best], "maximize").reason == "trial 1 is the only one"


def test_the_served_seeds_are_the_middle_ones() -> None:
    seen = [0.5, 0.9, 0.5, 0.7]
    assert middle_seeds([4, 1, 3, 2], seen, "maximize", 4) == (1, 2, 3, 4)
    assert middle_seeds([4, 1, 3, 2], seen, "minimize", 4) == (3, 4, 2, 1)
    assert middle_seeds([4, 1, 3, 2], seen, "maximize", 2) == (2, 3)
    assert middle_seeds([4, 1, 3, 2], seen, "maximize") == (2,)
    assert middle_seeds([4, 1, 3, 2], seen, "minimize") == (4,)


@given(st.lists(values, min_size=2, max_size=9), directions, st.data())
def test_middle_seeds_leave_as_many_better_as_worse_ones(
    seen: list[float], direction: str, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, len(seen)))
    seeds = range(10, 10 + len(seen))
    chosen = middle_seeds(seeds, seen, direction, count)  # type: ignore[arg-type]
    assert len(set(chosen)) == count
    sign = 1 if direction == "minimize" else -1
    own = [sign * seen[seed - 10] for seed in chosen]
    assert own == sorted(own)
    others = [sign * seen[seed - 10] for seed in seeds if seed not in chosen]
    better, worse = sum(v <= own[0] for v in others), sum(v >= own[-1] for v in others)
    assert better >= (len(seen) - count) // 2
    assert worse >= len(seen) - count - (len(seen) - count) // 2
    if count == 1 and len(seen) % 2:
        assert seen[chosen[0] - 10] == np.median(seen)
