"""A driver that dies is started again, but not without pause, nor always for ever."""

from __future__ import annotations

from collections.abc import Iterable

from rayml.serve.supervise.restarts import Deaths, pause_before_restart


def pauses(lives: Iterable[float | None]) -> list[float | None]:
    """The pause after each of these deaths."""
    deaths, found = Deaths(), []
    for answered_s in lives:
        deaths = deaths.and_one(answered_s)
        found.append(pause_before_restart(deaths))
    return found


def test_a_driver_whose_endpoint_answered_is_started_at_once() -> None:
    assert pauses([0.0]) == pauses([59.0]) == [0]
    assert pauses([60.0, 3600.0, 60.0]) == [0, 0, 0]


def test_pauses_grow_while_it_dies_soon_and_there_is_always_a_next_start() -> None:
    assert pauses([1.0] * 3000) == [0, 1, 2, 4, *[8] * 2996]


def test_a_longer_life_resets_the_pauses() -> None:
    assert pauses([1.0, 1.0, 1.0, 61.0, 1.0, 1.0]) == [0, 1, 2, 0, 0, 1]


def test_one_that_fails_to_start_is_left_alone_in_the_end() -> None:
    assert pauses([None] * 6) == [1, 2, 4, 8, None, None]


def test_failed_starts_are_counted_from_the_last_answer_and_reset_no_pauses() -> None:
    assert pauses([None, None, 1.0, None, 1.0, 1.0]) == [1, 2, 0, 1, 1, 2]
