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
from rayml.search.problem.space import Space
from rayml.search.problem.study_plan import StudyPlan
from rayml.search.study.halting_study import HaltingStudy
from rayml.types import PrunerSettings, SamplerSettings
from tests.search.conftest import TREE

MakePlan = Callable[..., StudyPlan]


@pytest.fixture
def make_plan(tmp_path: Path, config: dict[str, Any]) -> MakePlan:
    def make(**changes: Any) -> StudyPlan:
        plan: dict[str, Any] = {
            "name": "s", "journal": tmp_path / "journal.log", "space": Space.parse(TREE),
            "config": config, "metric": "accuracy", "direction": "maximize", "trials": 8,
            "max_epochs": 4, "sampler": SamplerSettings(name="random"),
            "pruner": PrunerSettings(name="none"), "started": time.time(), "slots": 2,
        }  # fmt: skip
        return StudyPlan(**(plan | changes))

    return make


def test_nobody_waits_for_the_turn_of_what_a_halted_study_does_not_give(
    make_plan: MakePlan,
) -> None:
    study = HaltingStudy(make_plan(slots=4, session="one"))
    for name in "abcd":
        study.offer(name)
    study.close()
    # Two cohorts go on at a time, and two are left when the disk runs full.
    study = HaltingStudy(make_plan(session="two"), resume=True)
    first, second = (study.offer(name) for name in "ef")
    assert first is not None
    assert second is not None
    assert len(study.orphans()) == 2
    study.halt("the disk is full")
    study.leave(first[0])
    assert study.offer("g") == (0, [])
    for _ in range(3):
        assert study.take_turn(second[0])
        study.end_turn(second[0])
    study.leave(second[0])
    study._ledger.close()  # as the end of its process does


def test_a_study_that_cannot_write_who_is_next_halts_and_gives_none(
    make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan()
    study = HaltingStudy(plan)
    assert study.offer("a") is not None
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", _full)
        assert study.offer("b") == (0, [])
    assert "no space left" in study.halted()
    with pytest.raises(StorageError, match="no space left"):
        study.close()
    study._ledger._journal._file.close()  # as the end of its process does
    again = HaltingStudy(replace(plan, session="two"), resume=True)
    assert [each.number for each in again.orphans()] == [0]
    again.close()


def _full(*_: Any) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
