"""The study's journal: one file in Optuna's journal format, appended by one process."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Container, Iterable
from io import FileIO
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from rayml.errors import SearchError
from rayml.search.journal.repair import lock_file, parse, repair
from rayml.storage.disk import append, explained, refused

_SYNC_SECONDS = 1.0


class SweepJournal(BaseJournalBackend):
    """Appends to a journal that any process may read with Optuna's own file backend.

    Optuna's backend locks the file, writes, syncs the disk and reads the file again for every
    single parameter and value: 5 to 20 ms to ask for a trial of eight parameters. Only one
    process ever writes this journal, which it locks until it ends, so here an operation of the
    study is one write, and what was written need not be read back: under 1 ms. A write survives
    the death of the process; the disk is synced once a second, which is what a crash of the
    machine may cost.

    Args:
        path: of the file.
        existing: go on with a journal that is there, instead of a new one.

    Attributes:
        torn: bytes of an unfinished last line, which an earlier writer left and which were cut
            off; empty if there was none.

    Raises:
        SearchError: the file exists, or it should and does not; another process writes it; or
            it is damaged.
        StorageError: the disk does not let it be written.
    """

    def __init__(self, path: Path, *, existing: bool = False) -> None:
        self._path = path
        self._file = _open(path, existing=existing)
        self._unwritten: list[bytes] = []
        self._unread: list[dict[str, Any]] = []
        self._read = 0
        self._synced = time.monotonic()
        self.torn = b""
        try:
            lock_file(self._file, path)
            if existing:
                self._unread, self.torn = repair(self._file, path)
        except SearchError:
            self._file.close()
            raise

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Take in operations, which are in the file after the next `commit`."""
        for log in logs:
            line = json.dumps(log, separators=(",", ":")).encode()
            self._unwritten.append(line + b"\n")
            # Parsed anew, so that this process holds exactly what a reader will.
            self._unread.append(json.loads(line))

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Operations that Optuna has not applied yet."""
        logs = self._unread[log_number_from - self._read :]
        self._read += len(self._unread)
        self._unread = []
        return logs

    def commit(self) -> None:
        """Write what was appended, all of it or nothing.

        Raises:
            StorageError: the disk does not take it. What was appended is kept for the next call.
        """
        if self._unwritten:
            append(self._file.fileno(), b"".join(self._unwritten), self._path)
            self._unwritten = []
        now = time.monotonic()
        if now - self._synced >= _SYNC_SECONDS:
            self._sync()
            self._synced = now

    def close(self) -> None:
        """Write, sync and close the file.

        Raises:
            StorageError: the disk does not take it; the file is closed all the same.
        """
        try:
            self.commit()
            self._sync()
        finally:
            self._file.close()

    def _sync(self) -> None:
        with explained(self._path):
            os.fsync(self._file.fileno())


class SweepStorage(JournalStorage):
    """Optuna's journal storage, which finds enqueued trials without looking at all others.

    Optuna looks for them each time that a trial is asked: 4 ms among 10,000 trials.
    """

    def __init__(self, journal: SweepJournal) -> None:
        super().__init__(journal)
        self._waiting: list[int] = []

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """See `BaseStorage`."""
        trial_id = super().create_new_trial(study_id, template_trial)
        if template_trial is not None and template_trial.state == TrialState.WAITING:
            self._waiting.append(trial_id)
        return trial_id

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """See `BaseStorage`."""
        if states != (TrialState.WAITING,):
            return super().get_all_trials(study_id, deepcopy, states)
        trials = {trial_id: self.get_trial(trial_id) for trial_id in self._waiting}
        waiting = {k: v for k, v in trials.items() if v.state == TrialState.WAITING}
        self._waiting = list(waiting)
        return list(waiting.values())


def _open(path: Path, *, existing: bool) -> FileIO:
    try:
        return path.open("r+b" if existing else "xb", buffering=0)
    except FileExistsError as error:
        raise SearchError(
            "the journal of the new study exists already",
            found=str(path),
            remedy="Choose another search.name",
        ) from error
    except FileNotFoundError as error:
        raise SearchError(
            "the sweep has no journal", found=str(path), remedy="Check the sweep's name"
        ) from error
    except OSError as error:
        raise refused(error, path) from error


def read_study(path: Path) -> optuna.Study:
    """Open a journal for reading, while its sweep runs or afterwards.

    Raises:
        SearchError: there is no journal, it is damaged, or it holds no study.
    """
    if not path.is_file():
        raise SearchError(
            "the folder holds no journal of a sweep",
            found=str(path),
            remedy="Check the sweep's name",
        )
    try:
        storage = JournalStorage(JournalFileBackend(str(path)))
    except ValueError:
        parse(path.read_bytes(), path)  # raises with the number of the line
        raise
    studies = storage.get_all_studies()
    if len(studies) != 1:
        raise SearchError(
            f"the journal holds {len(studies)} studies, and that of a sweep holds one",
            found=str(path),
            remedy="Restore the file from a copy",
        )
    return optuna.load_study(study_name=studies[0].study_name, storage=storage)
