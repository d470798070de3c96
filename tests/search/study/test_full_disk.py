"""A study that a full disk halts gives nothing more, and lets everyone come to an end."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rayml.errors import StorageError
from rayml.search.problem.study_plan import StudyPlan
from rayml.search.space.space import Space
from rayml.search.study.study import Study
from rayml.search.study.turn_order import RoundRobin
from rayml.settings.search import PrunerSettings, SamplerSettings
from tests.search.conftest import TREE
from tests.search.plans import study_plan

MakePlan = Callable[..., StudyPlan]


@pytest.fixture
def make_plan(tmp_path: Path, config: dict[str, Any]) -> MakePlan:
    def make(**changes: Any) -> StudyPlan:
        plan: dict[str, Any] = {
            "name": "s", "journal": tmp_path / "journal.log", "space": Space.parse(TREE),
            "trial": config, "metric": "accuracy", "direction": "maximize", "trials": 8,
            "max_epochs": 4, "sampler": SamplerSettings(name="random"),
            "pruner": PrunerSettings(name="none"), "started": time.time(),
        }  # fmt: skip
        return study_plan(**(plan | changes))

    return make


def test_nobody_waits_for_the_turn_of_what_a_halted_study_does_not_give(
    make_plan: MakePlan,
) -> None:
    study = Study(make_plan(session="one"), order=RoundRobin(4))
    for name in "abcd":
        study.next_cohort(tune_trial=name)
    study.close()
    # Two cohorts go on at a time, and two are left when the disk runs full.
    study = Study(make_plan(session="two"), resume=True, order=RoundRobin(2))
    first, second = (study.next_cohort(tune_trial=name) for name in "ef")
    assert first is not None
    assert second is not None
    assert len(study.orphans()) == 2
    study.halt("the disk is full")
    study.leave(first[0])
    assert study.next_cohort(tune_trial="g") == (0, [])
    for _ in range(3):
        assert study.take_turn(second[0])
        study.end_turn(second[0])
    study.leave(second[0])
    study._journal.close()  # as the end of its process does


def test_a_study_that_cannot_write_who_is_next_halts_and_gives_none(
    make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan()
    study = Study(plan, order=RoundRobin(2))
    assert study.next_cohort(tune_trial="a") is not None
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", _full)
        assert study.next_cohort(tune_trial="b") == (0, [])
    assert "no space left" in study.halted()
    with pytest.raises(StorageError, match="no space left"):
        study.close()
    study._journal._file._file.close()  # as the end of its process does
    again = Study(replace(plan, session="two"), resume=True, order=RoundRobin(2))
    assert [each.number for each in again.orphans()] == [0]
    again.close()


def _full(*_: Any) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
