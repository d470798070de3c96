"""The study records the lineage of a population's trials."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from rayml.search.journal.ancestry import Descent, Stretch
from rayml.search.journal.journal import read_study
from rayml.search.problem.study_plan import StudyPlan
from rayml.search.report.tables import write_tables
from rayml.search.results.leaderboard import read_leaderboard, schedule_of
from rayml.search.space.space import Space
from rayml.search.study.study import Study
from rayml.settings.search import PrunerSettings, SamplerSettings
from tests.search.conftest import TREE
from tests.search.plans import report, study_plan, tell


@pytest.fixture
def plan(tmp_path: Path, config: dict[str, Any]) -> StudyPlan:
    return study_plan(
        name="s", journal=tmp_path / "journal.log", space=Space.parse(TREE), trial=config,
        metric="accuracy", direction="maximize", trials=3, max_epochs=9, started=0.0,
        sampler=SamplerSettings(name="random"), pruner=PrunerSettings(name="none"),
    )  # fmt: skip


@pytest.fixture
def study(plan: StudyPlan) -> Iterator[Study]:
    study = Study(plan)
    study.ask(2, cohort=0)
    study.ask(1, cohort=1)
    yield study
    with suppress(ValueError):  # it was closed
        study.close()


def descent(epoch: int, source: int, rate: float) -> dict[str, Any]:
    return Descent(epoch, source, {"model.width": 16, "train.optimizer.lr": rate}).to_json()


def test_a_lineage_grows_and_is_written_anew(study: Study) -> None:
    study.inherit(0, 1, {0: descent(1, 1, 0.1)})
    study.inherit(0, 2, {1: descent(2, 0, 0.2)})
    study.inherit(0, 3, {0: descent(3, 1, 0.3)})
    assert study.descents(0) == {
        0: [descent(1, 1, 0.1), descent(3, 1, 0.3)],
        1: [descent(2, 0, 0.2)],
    }
    # Its worker died before it saved epoch 2, and comes to another result.
    study.inherit(0, 2, {})
    assert study.descents(0) == {0: [descent(1, 1, 0.1)], 1: []}
    assert study.descents(1) == {2: []}


def test_a_lineage_outlives_the_study(plan: StudyPlan, study: Study) -> None:
    study.inherit(0, 1, {0: descent(1, 1, 0.1)})
    before = study.descents(0)
    study.close()
    again = Study(replace(plan, session="two"), resume=True)
    assert again.descents(0) == before
    again.inherit(0, 2, {0: descent(2, 1, 0.2)})
    again.close()
    trial = read_study(plan.journal).trials[0]
    assert trial.system_attrs["lineage"] == [descent(1, 1, 0.1), descent(2, 1, 0.2)]


def test_a_report_tells_what_a_trial_was_trained_with(study: Study, tmp_path: Path) -> None:
    for epoch, values in enumerate([(0.5, 0.6, 0.1), (0.9, 0.7, 0.1)], start=1):
        for number, value in enumerate(values):
            report(study, number, epoch, value, {"accuracy": value})
        if epoch == 1:
            study.inherit(0, 1, {0: descent(1, 1, 0.25)})
    for number in range(3):
        tell(study, number, "COMPLETE")
    board = write_tables(tmp_path)
    best = board.rows[0]
    assert best.number == 0
    assert best.ancestry.params_in(best.epoch)["train.optimizer.lr"] == 0.25
    [first] = [row for row in board.rows if row.number == 1]
    assert schedule_of(board, best) == (
        Stretch(1, 1, 1, first.params),
        Stretch(2, 2, 0, {"model.width": 16, "train.optimizer.lr": 0.25}),
    )
    assert len(schedule_of(board, first)) == 1
    rows = pq.read_table(tmp_path / "report" / "trials.parquet").to_pylist()
    assert [json.loads(row["ancestry"]) for row in rows] == [[descent(1, 1, 0.25)], [], []]
    assert read_leaderboard(tmp_path).rows[0].descents == best.descents
