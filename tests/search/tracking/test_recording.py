"""Trackers are told of each finished trial once, and may fail."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from rayml.search.study import Study
from rayml.search.tracking.recording import record
from rayml.search.trials import Curve, FinishedTrial


class Memory:
    """Keeps what it is told."""

    name = "memory"

    def __init__(self, *, broken: bool = False) -> None:
        self.told: list[tuple[FinishedTrial, Curve]] = []
        self._broken = broken

    def log(self, trial: FinishedTrial, curve: Curve) -> None:
        self.told.append((trial, curve))
        if self._broken:
            raise OSError("disk full")

    def close(self, *, finished: bool) -> None:
        raise NotImplementedError


def finish_two(study: Study) -> None:
    first, second = study.ask(2)
    study.report(first.number, 1, 0.5, {"accuracy": 0.5, "loss": float("nan")})
    study.report(first.number, 2, 0.75, {"accuracy": 0.75, "loss": 0.25})
    study.tell(first.number, "COMPLETE", 0.75)
    study.tell(second.number, "FAIL", reason="ValueError: no")


def test_a_tracker_gets_each_trial_with_its_curve(make_study: Callable[..., Study]) -> None:
    study = make_study()
    finish_two(study)
    memory = Memory()
    progress = study.snapshot()
    record(progress, study.curves([0, 1]), [memory])
    assert [trial.number for trial, _ in memory.told] == [0, 1]
    assert memory.told[0][1] == {
        1: {"accuracy": 0.5, "loss": None},
        2: {"accuracy": 0.75, "loss": 0.25},
    }
    assert memory.told[1][1] == {}


def test_a_tracker_that_fails_is_left_out_and_told_of(
    make_study: Callable[..., Study], caplog: pytest.LogCaptureFixture
) -> None:
    study = make_study()
    finish_two(study)
    broken, sound = Memory(broken=True), Memory()
    alive = [broken, sound]
    with caplog.at_level(logging.WARNING):
        record(study.snapshot(), study.curves([0, 1]), alive)
    assert alive == [sound]
    assert len(broken.told) == 1
    assert len(sound.told) == 2
    assert caplog.messages == ["memory records no more: OSError: disk full"]
