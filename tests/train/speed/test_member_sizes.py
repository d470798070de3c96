from __future__ import annotations

import pytest

from rayml.train.speed.member_sizes import (
    MOST_SECONDS,
    Work,
    choose_sizes,
    measured_pace,
    with_least_sizes,
)

WORK = Work(inputs=128, depth=2, batch=256, steps=1000)
FAST, SLOW = 1e15, 1.0


def test_a_fast_machine_takes_the_largest_and_a_slow_one_the_smallest() -> None:
    assert choose_sizes(WORK, FAST, None, None) == (16, 256)
    assert choose_sizes(WORK, SLOW, None, None) == (4, 64)


def test_what_is_chosen_is_trained_in_time_and_the_next_larger_is_not() -> None:
    pace = WORK.seconds(8, 128, 1.0) / MOST_SECONDS
    assert choose_sizes(WORK, 1.01 * pace, None, None) == (8, 128)
    assert choose_sizes(WORK, 0.99 * pace, None, None) == (8, 64)


def test_what_the_user_gives_stays() -> None:
    assert choose_sizes(WORK, FAST, 3, None) == (3, 256)
    assert choose_sizes(WORK, SLOW, None, 500) == (4, 500)


def test_time_grows_with_all_that_is_computed() -> None:
    base = WORK.seconds(4, 64, 1e9)
    assert WORK.seconds(8, 64, 1e9) == pytest.approx(2 * base)
    assert WORK.seconds(4, 64, 2e9) == pytest.approx(base / 2)
    assert Work(128, 3, 256, 1000).seconds(4, 64, 1e9) > base
    assert Work(256, 2, 256, 1000).seconds(4, 64, 1e9) > base


def test_only_auto_is_replaced_to_try_a_model_out() -> None:
    assert with_least_sizes({"k": "auto", "width": 32, "depth": 1}) == {
        "k": 4,
        "width": 32,
        "depth": 1,
    }
    assert with_least_sizes({"width": 8}) == {"width": 8}


def test_a_machine_multiplies_more_than_a_million_numbers_a_second() -> None:
    assert measured_pace(1) > 1e6
