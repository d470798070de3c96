"""The journal is Optuna's format, written by one process and readable by any."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from rayml.errors import SearchError
from rayml.search.journal.journal import SweepJournal, SweepStorage, read_study


def test_a_reader_sees_what_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    journal = SweepJournal(path)
    study = optuna.create_study(storage=JournalStorage(journal), study_name="s")
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    assert path.read_bytes() == b""
    journal.commit()
    trial.report(0.5, 1)
    read = optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(path))))
    [seen] = read.trials
    assert seen.params == trial.params
    assert seen.intermediate_values == {}
    journal.close()
    [seen] = read_study(path).trials
    assert seen.intermediate_values == {1: 0.5}


def test_the_writer_holds_what_a_reader_would(tmp_path: Path) -> None:
    journal = SweepJournal(tmp_path / "journal.log")
    study = optuna.create_study(storage=JournalStorage(journal))
    for value in (0.25, 1e-12, 3):
        trial = study.ask()
        trial.suggest_categorical("c", [None, True, "x"])
        trial.report(value, 1)
        trial.set_user_attr("a", {"k": (1, 2)})
        study.tell(trial, value)
    journal.close()
    assert study.trials == read_study(tmp_path / "journal.log").trials


def test_an_existing_journal_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    path.write_text("precious")
    with pytest.raises(SearchError, match="exists already"):
        SweepJournal(path)
    assert path.read_text() == "precious"


def test_no_journal_is_no_sweep(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    with pytest.raises(SearchError, match="holds no journal"):
        read_study(path)
    assert not path.exists()


def test_an_empty_journal_holds_no_study(tmp_path: Path) -> None:
    SweepJournal(tmp_path / "journal.log").close()
    with pytest.raises(SearchError, match="holds 0 studies"):
        read_study(tmp_path / "journal.log")


def test_enqueued_trials_are_asked_first_and_once(tmp_path: Path) -> None:
    journal = SweepJournal(tmp_path / "journal.log")
    storage = SweepStorage(journal)
    study = optuna.create_study(storage=storage)
    study.ask().suggest_float("x", 0, 1)
    study.enqueue_trial({"x": 0.25})
    study.enqueue_trial({"x": 0.75})
    assert [study.ask().suggest_float("x", 0, 1) for _ in range(2)] == [0.25, 0.75]
    assert study.ask().suggest_float("x", 0, 1) not in {0.25, 0.75}
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3]
    assert storage.get_all_trials(0, states=(TrialState.WAITING,)) == []
    journal.close()
