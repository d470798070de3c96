"""A driver is started again, but not for ever."""

from __future__ import annotations

from itertools import count, takewhile

from rayml.serve.restarts import pause_before_restart


def test_a_driver_whose_endpoint_answered_is_started_at_once() -> None:
    assert pause_before_restart(0) == 0


def test_pauses_grow_until_there_is_no_next_start() -> None:
    pauses = list(takewhile(lambda pause: pause is not None, map(pause_before_restart, count(1))))
    assert 1 < len(pauses) < 10
    assert pauses == sorted(pauses, key=lambda pause: pause or 0)
    assert pause_before_restart(len(pauses) + 100) is None
