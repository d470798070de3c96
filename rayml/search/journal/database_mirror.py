"""The study in a shared database: a mirror that follows the journal.

The journal stays the record. Optuna takes 6 to 8 ms for each value that it writes to a database,
which neither workers nor sampler wait for here: a thread of the driver reads what the journal has
gained, once a second, and writes each trial with all that it has in one transaction. What a
crash left out is written when the sweep is resumed.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    check_distribution_compatibility,
)
from optuna.exceptions import OptunaError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from rayml.config.secrets import masked
from rayml.errors import ConfigError, SearchError
from rayml.search.journal.journal import read_study
from rayml.search.journal.optuna_study import IDENTITY

_INTERVAL = 1.0
_ERRORS = (OptunaError, SQLAlchemyError, OSError)


class DatabaseMirror:
    """Writes a journal's study to a database, as far as it is not there yet.

    A parameter whose choices or kind changed when the sweep was extended is written with all its
    choices: a database takes one kind of range for all trials.

    Args:
        journal: of the sweep.
        url: of the database, as SQLAlchemy has it.

    Raises:
        ConfigError: the database cannot be used.
        SearchError: it holds a study of that name which is of another sweep.
    """

    def __init__(self, journal: Path, url: str) -> None:
        self._journal = journal
        self._study = read_study(journal)
        self._database = open_database(url)
        self._ranges: dict[str, dict[str, BaseDistribution]] = {}
        self._common: dict[str, BaseDistribution | None] = {}
        self._looked = 0
        self._written: list[FrozenTrial] = []
        self._ids: list[int] = []
        self._sources: list[FrozenTrial] = []
        self._open()

    def sync(self) -> None:
        """Write what the journal has gained.

        Raises:
            OptunaError: the database does not answer.
        """
        trials = self._study.get_trials(deepcopy=False)
        # The database must not know what a crash of the machine could take from the journal.
        descriptor = os.open(self._journal, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        if self._learn_ranges(trials) and self._written:
            self._rebuild()
        for number, trial in enumerate(trials):
            if number >= len(self._sources) or trial is not self._sources[number]:
                self._write(number, trial)

    def close(self) -> None:
        """Give back the connections."""
        self._database.engine.dispose()

    def _open(self) -> None:
        name, identity = self._study.study_name, self._study.user_attrs.get(IDENTITY)
        found = find_study(self._database, name)
        if found is None:
            self._study_id = self._create()
            return
        self._study_id = found
        if self._database.get_study_user_attrs(found).get(IDENTITY) != identity:
            raise _taken(name)
        written = self._database.get_all_trials(found)
        trials = self._study.get_trials(deepcopy=False)
        self._learn_ranges(trials)
        pairs = zip(written, trials, strict=False)
        if len(written) > len(trials) or not all(self._agree(*pair) for pair in pairs):
            self._rebuild()
            return
        self._written = written
        self._ids = [each._trial_id for each in written]  # noqa: SLF001 - has no other name

    def _agree(self, written: FrozenTrial, trial: FrozenTrial) -> bool:
        """Whether the database's trial is an earlier state of the journal's."""
        wanted = self._adapt(trial)
        same_state = written.state == wanted.state or not written.state.is_finished()
        return same_state and (written.params, written.distributions) == (
            wanted.params,
            wanted.distributions,
        )

    def _create(self) -> int:
        study_id = self._database.create_new_study(self._study.directions, self._study.study_name)
        for key, value in self._study.user_attrs.items():
            self._database.set_study_user_attr(study_id, key, value)
        return study_id

    def _rebuild(self) -> None:
        self._database.delete_study(self._study_id)
        self._written, self._ids, self._sources = [], [], []
        self._study_id = self._create()

    def _write(self, number: int, trial: FrozenTrial) -> None:
        wanted = self._adapt(trial)
        if number >= len(self._written):
            self._ids.append(self._database.create_new_trial(self._study_id, wanted))
            self._written.append(wanted)
        else:
            self._update(self._ids[number], self._written[number], wanted)
            self._written[number] = wanted
        if number < len(self._sources):
            self._sources[number] = trial
        else:
            self._sources.append(trial)

    def _update(self, trial_id: int, written: FrozenTrial, wanted: FrozenTrial) -> None:
        if written.state.is_finished():
            return
        database = self._database
        for key, value in _news(written.user_attrs, wanted.user_attrs):
            database.set_trial_user_attr(trial_id, key, value)
        for key, value in _news(written.system_attrs, wanted.system_attrs):
            database.set_trial_system_attr(trial_id, key, value)
        for step, value in _news(written.intermediate_values, wanted.intermediate_values):
            database.set_trial_intermediate_value(trial_id, step, value)
        if wanted.state != written.state:
            database.set_trial_state_values(trial_id, wanted.state, wanted.values)

    def _learn_ranges(self, trials: Sequence[FrozenTrial]) -> bool:
        """Look at the ranges of new trials; whether others must be written for them."""
        for trial in trials[self._looked :]:
            for key, found in trial.distributions.items():
                self._ranges.setdefault(key, {})[repr(found)] = found
        self._looked = len(trials)
        common = {
            key: common_range(list(ranges.values()))
            for key, ranges in self._ranges.items()
            if not _compatible(list(ranges.values()))
        }
        changed, self._common = common != self._common, common
        return changed

    def _adapt(self, trial: FrozenTrial) -> FrozenTrial:
        if not self._common.keys() & trial.params.keys():
            return trial
        adapted = copy.copy(trial)
        adapted.params = dict(trial.params)
        adapted.distributions = dict(trial.distributions)
        adapted.user_attrs = dict(trial.user_attrs)
        for key in self._common.keys() & trial.params.keys():
            common = self._common[key]
            if common is None:
                adapted.user_attrs[key] = adapted.params.pop(key)
                del adapted.distributions[key]
            else:
                adapted.distributions[key] = common
                if isinstance(common, FloatDistribution):
                    adapted.params[key] = float(adapted.params[key])
        return adapted


@contextmanager
def mirroring(journal: Path, url: str | None) -> Iterator[None]:
    """Keep a database up to date with a journal, from a thread, until the context ends.

    Args:
        journal: of the sweep.
        url: of the database; None mirrors nothing.

    Raises:
        ConfigError: the database cannot be used.
        SearchError: it cannot be brought up to date in the end.
    """
    if url is None:
        yield
        return
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    mirror = DatabaseMirror(journal, url)
    over = threading.Event()
    thread = threading.Thread(target=_follow, args=(mirror, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        _finish(mirror, journal, url)
        optuna.logging.set_verbosity(level)


def open_database(url: str) -> RDBStorage:
    """Connect to a database that holds Optuna's studies, and make its tables if it has none.

    Raises:
        ConfigError: it cannot be used.
    """
    # SQLAlchemy would take a driver that is not installed here.
    for name in ("postgresql://", "postgres://"):
        if url.startswith(name):
            url = "postgresql+psycopg://" + url.removeprefix(name)
    try:
        return RDBStorage(url)
    except (*_ERRORS, ImportError, ValueError) as error:
        raise ConfigError(
            f"the database of search.storage does not answer ({_told(error)})",
            found=masked(url),
            remedy="Write it as sqlite:///file.db or postgresql://user:password@host/database",
        ) from error


def check_storage(url: str, name: str, *, resume: bool) -> None:
    """Check that a database answers, and that it has no study of a new sweep's name.

    Raises:
        ConfigError: it does not answer.
        SearchError: it has such a study.
    """
    database = open_database(url)
    try:
        if not resume and find_study(database, name) is not None:
            raise _taken(name)
    finally:
        database.engine.dispose()


def find_study(database: RDBStorage, name: str) -> int | None:
    """Id of a study in a database."""
    with suppress(KeyError):
        return database.get_study_id_from_name(name)
    return None


def common_range(ranges: Sequence[BaseDistribution]) -> BaseDistribution | None:
    """A range that holds the values of all; None for choices beside numbers."""
    choices: list[Any] = []
    for found in ranges:
        if isinstance(found, CategoricalDistribution):
            choices += [each for each in found.choices if each not in choices]
    if choices:
        categorical = all(isinstance(found, CategoricalDistribution) for found in ranges)
        return CategoricalDistribution(choices) if categorical else None
    low = min(found.low for found in ranges)  # type: ignore[attr-defined]
    high = max(found.high for found in ranges)  # type: ignore[attr-defined]
    return FloatDistribution(low, high)


def _compatible(ranges: Sequence[BaseDistribution]) -> bool:
    try:
        for found in ranges[1:]:
            check_distribution_compatibility(ranges[0], found)
    except ValueError:
        return False
    return True


def _news(written: Mapping[Any, Any], wanted: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    return [(k, v) for k, v in wanted.items() if k not in written or written[k] != v]


def _follow(mirror: DatabaseMirror, over: threading.Event) -> None:
    while not over.wait(_INTERVAL):
        # The database may be away for a while; what is missing is written when it is back, and
        # the last call raises if it is not.
        with suppress(*_ERRORS):
            mirror.sync()


def _finish(mirror: DatabaseMirror, journal: Path, url: str) -> None:
    try:
        mirror.sync()
    except _ERRORS as error:
        raise SearchError(
            f"the study was not written to the database of search.storage ({_told(error)})",
            found=masked(url),
            remedy=f"{journal} has all of it, and `rayml sweep resume={journal.parent.name}`"
            " writes what is missing",
        ) from error
    finally:
        mirror.close()


def _taken(name: str) -> SearchError:
    return SearchError(
        f"the database of search.storage has a study named {name} of another sweep",
        remedy="Choose another search.name, or delete that study with Optuna",
    )


def _told(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).splitlines()
    return masked(lines[0]) if lines else type(error).__name__
