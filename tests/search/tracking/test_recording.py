"""Trackers are told of each finished trial once, and may fail."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from ray.exceptions import RayActorError

from rayml.search.problem.trials import Curve, FinishedTrial
from rayml.search.study.study import Study
from rayml.search.tracking import recording as module
from rayml.search.tracking.recording import record, recording
from tests.search.plans import report, tell


class Memory:
    """Keeps what it is told."""

    name = "memory"

    def __init__(self, *, broken: bool = False) -> None:
        self.finished: bool | None = None
        self.told: list[tuple[FinishedTrial, Curve]] = []
        self._broken = broken

    def log(self, trial: FinishedTrial, curve: Curve) -> None:
        self.told.append((trial, curve))
        if self._broken:
            raise OSError("disk full")

    def close(self, *, finished: bool) -> None:
        self.finished = finished


def finish_two(study: Study) -> None:
    first, second = study.ask(2)
    report(study, first.number, 1, 0.5, {"accuracy": 0.5, "loss": float("nan")})
    report(study, first.number, 2, 0.75, {"accuracy": 0.75, "loss": 0.25})
    tell(study, first.number, "COMPLETE", 0.75)
    tell(study, second.number, "FAIL", reason="ValueError: no")


def test_a_tracker_gets_each_trial_with_its_curve(make_study: Callable[..., Study]) -> None:
    study = make_study()
    finish_two(study)
    memory = Memory()
    progress = study.snapshot()
    record(progress, study.curves([0, 1]), [memory])
    assert [trial.number for trial, _ in memory.told] == [0, 1]
    assert memory.told[0][1] == {
        1: {"accuracy": 0.5, "loss": None, "train_seconds": 0.0},
        2: {"accuracy": 0.75, "loss": 0.25, "train_seconds": 0.0},
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


class Handle:
    """Stands in for the study's actor: its calls are answered at once."""

    def __init__(self, study: Study) -> None:
        self.snapshot = Remote(study.snapshot)
        self.curves = Remote(study.curves)


class Remote:
    def __init__(self, method: Callable[..., Any]) -> None:
        self.remote = method


@pytest.fixture
def handle(make_study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch) -> Handle:
    monkeypatch.setattr(module.ray, "get", lambda answer: answer)
    study = make_study()
    finish_two(study)
    return Handle(study)


def test_all_that_finished_is_recorded_by_the_end(handle: Handle) -> None:
    memory = Memory()
    with recording(handle, [memory]):
        pass
    assert [trial.number for trial, _ in memory.told] == [0, 1]
    assert memory.finished is True


def test_an_interrupted_sweep_is_told_apart(handle: Handle) -> None:
    memory = Memory()
    with pytest.raises(KeyboardInterrupt), recording(handle, [memory]):
        raise KeyboardInterrupt
    assert len(memory.told) == 2
    assert memory.finished is False


def test_a_lost_study_ends_the_recording(handle: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(answer: object) -> object:
        raise RayActorError

    monkeypatch.setattr(module.ray, "get", lost)
    memory = Memory()
    with recording(handle, [memory]):
        pass
    assert memory.told == []
    assert memory.finished is True


def test_no_tracker_no_thread(handle: Handle) -> None:
    before = threading.active_count()
    with recording(handle, []):
        assert threading.active_count() == before
