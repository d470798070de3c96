"""A database holds what the journal holds, whenever it was away or left behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from rayml.errors import ConfigError, SearchError
from rayml.search.journal.database_mirror import (
    DatabaseMirror,
    check_storage,
    common_range,
    mirroring,
)
from rayml.search.journal.journal import read_study
from rayml.search.journal.trial_record import read_trial
from rayml.search.study.proposals import Proposals
from rayml.search.study.study import Study
from tests.integration.postgres import binaries, running
from tests.search.conftest import TREE
from tests.search.plans import begin, report, tell

MakeStudy = Callable[..., Study]


def described(trial: optuna.trial.FrozenTrial) -> tuple[Any, ...]:
    return (
        trial.number,
        trial.state,
        trial.value,
        trial.params,
        trial.intermediate_values,
        trial.user_attrs,
        trial.datetime_start,
    )


def assert_alike(journal: Path, url: str) -> None:
    storage = optuna.storages.RDBStorage(url)
    shared = optuna.load_study(study_name="s", storage=storage)
    own = read_study(journal)
    assert [described(trial) for trial in shared.trials] == [described(t) for t in own.trials]
    assert shared.user_attrs == own.user_attrs
    storage.engine.dispose()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.log"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'studies.db'}"


def work(study: Study) -> None:
    """A trial of each state."""
    done, stopped, failed, _ = study.ask(4, tune_trial="t")
    for trial in (done, stopped):
        report(study, trial.number, 1, 0.5, {"auroc": 0.25})
    tell(study, done.number, "COMPLETE", 0.5)
    tell(study, stopped.number, "PRUNED", reason="late")
    tell(study, failed.number, "FAIL", reason="broken")


def test_a_database_follows_the_journal(make_study: MakeStudy, journal: Path, url: str) -> None:
    study = make_study()
    mirror = DatabaseMirror(journal, url)
    mirror.sync()
    assert_alike(journal, url)
    asked = study.ask(2)
    mirror.sync()
    assert_alike(journal, url)
    report(study, asked[0].number, 1, 0.5, {})
    begin(study, asked[1].number, 0)
    mirror.sync()
    assert_alike(journal, url)
    report(study, asked[0].number, 2, 0.75, {})
    tell(study, asked[0].number, "COMPLETE", 0.75)
    work(study)
    mirror.sync()
    mirror.sync()
    assert_alike(journal, url)
    mirror.close()


def test_a_database_that_was_left_behind_is_caught_up(
    make_study: MakeStudy, journal: Path, url: str
) -> None:
    study = make_study()
    with mirroring(journal, url):
        work(study)
    assert_alike(journal, url)
    report(study, 3, 1, 0.5, {})
    work(study)
    with mirroring(journal, url):
        pass
    assert_alike(journal, url)


def test_a_database_that_knows_more_than_the_journal_is_written_anew(
    make_study: MakeStudy, journal: Path, url: str
) -> None:
    study = make_study()
    study.ask()
    before = journal.read_bytes()
    study.ask(2)
    with mirroring(journal, url):
        pass
    # A power cut took what the disk had not yet.
    journal.write_bytes(before)
    with mirroring(journal, url):
        pass
    assert_alike(journal, url)


def test_choices_that_changed_are_written_together(
    make_study: MakeStudy, journal: Path, url: str
) -> None:
    from rayml.search.space.space import Space

    study = make_study(
        tree={**TREE, "model": {"width": {"type": "categorical", "choices": [1, 2]}}}
    )
    work(study)
    with mirroring(journal, url):
        pass
    changed = {"model": {"width": {"type": "categorical", "choices": [2, 3]}}}
    space = Space.parse({**TREE, **changed})
    records = [read_trial(trial) for trial in study._journal.trials()]
    study._proposals = Proposals(replace(study._plan, space=space), study._journal, records)
    work(study)
    with mirroring(journal, url):
        pass
    assert_alike(journal, url)
    [found] = {
        trial.distributions["model.width"]
        for trial in optuna.load_study(study_name="s", storage=url).trials
    }
    assert found == CategoricalDistribution([1, 2, 3])


@pytest.mark.parametrize(
    ("ranges", "common"),
    [
        (
            [CategoricalDistribution([1, 2]), CategoricalDistribution([2, 3])],
            CategoricalDistribution([1, 2, 3]),
        ),
        ([IntDistribution(1, 8, log=True), IntDistribution(4, 16)], FloatDistribution(1, 16)),
        ([CategoricalDistribution([1, 2]), IntDistribution(4, 16)], None),
    ],
)
def test_a_range_for_all(ranges: list[Any], common: Any) -> None:
    assert common_range(ranges) == common


def test_a_study_of_another_sweep_is_not_touched(
    make_study: MakeStudy, journal: Path, url: str, tmp_path: Path
) -> None:
    make_study()
    with mirroring(journal, url):
        pass
    shutil.move(journal, tmp_path / "moved.log")
    make_study()
    with pytest.raises(SearchError, match="of another sweep"):
        DatabaseMirror(journal, url)
    with pytest.raises(SearchError, match="of another sweep"):
        check_storage(url, "s", resume=False)
    check_storage(url, "s", resume=True)
    check_storage(url, "another", resume=False)
    assert_alike(tmp_path / "moved.log", url)


@pytest.mark.parametrize(
    "url",
    ["nonsense", "sqlite:////no/such/folder/x.db", "postgresql://me:hunter2@127.0.0.1:1/x"],
)
def test_a_database_that_does_not_answer_is_told_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match=r"search\.storage") as caught:
        check_storage(url, "s", resume=False)
    assert "hunter2" not in str(caught.value)


def test_a_database_that_goes_away_is_told_at_the_end(
    make_study: MakeStudy, journal: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study()

    def away(*_: Any) -> None:
        raise optuna.exceptions.StorageInternalError("away")

    mirror = mirroring(journal, url)
    mirror.__enter__()
    monkeypatch.setattr(optuna.storages.RDBStorage, "create_new_trial", away)
    work(study)
    with pytest.raises(
        SearchError,
        match=r"not written to the database .*\(away\).*rayml sweep resume=",
    ):
        mirror.__exit__(None, None, None)
    monkeypatch.undo()
    with mirroring(journal, url):
        pass
    assert_alike(journal, url)


@pytest.mark.skipif(binaries() is None, reason="no PostgreSQL server is installed")
def test_postgresql(make_study: MakeStudy, journal: Path) -> None:
    programs = binaries()
    assert programs is not None
    with running(programs) as server:
        study = make_study()
        with mirroring(journal, server.url):
            work(study)
        assert_alike(journal, server.url.replace("postgresql", "postgresql+psycopg"))
