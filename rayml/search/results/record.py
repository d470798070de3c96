"""What a sweep left behind, read for its page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import optuna

from rayml.config.plain_yaml import load_plain
from rayml.errors import SearchError
from rayml.search.journal.journal import read_study
from rayml.search.problem.sweep_plan import CONFIG, DATA, JOURNAL, SPACE, TIMINGS
from rayml.search.results.confirmation import Confirmation, read_confirmation
from rayml.search.results.leaderboard import Leaderboard, TrialRow, rank_trials
from rayml.search.space.parameter import Distribution
from rayml.search.space.space import Space
from rayml.storage.bounded import read_bounded

_MOST_BYTES = 16 << 20  # of a JSON or YAML file; they have some kilobytes
# The sweep needs the file to go on, so that it is not deleted for the sake of a page.
_RESTORE = "Restore it from a copy, or move it out of the folder to make the page without it"


@dataclass(frozen=True)
class Searched:
    """A searched parameter.

    Attributes:
        key: dotted.
        distribution: the values it may take.
        when: other keys with the values under which it is searched.
    """

    key: str
    distribution: Distribution
    when: Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class SweepRecord:
    """All that the page shows.

    Attributes:
        name: of the sweep.
        study: as Optuna reads it.
        board: its trials.
        searched: the parameters.
        timings: seconds by name; None until the sweep has ended.
        confirmation: of the winner; None if there was none.
        config: plain, as the sweep was started; None if it is not there.
        advice: what was to be known of the data before training.
    """

    name: str
    study: optuna.Study
    board: Leaderboard
    searched: Sequence[Searched]
    timings: Mapping[str, float] | None
    confirmation: Confirmation | None
    config: Any
    advice: Sequence[str] = ()

    @property
    def rows(self) -> Sequence[TrialRow]:
        """Trials from the best to the worst."""
        return self.board.rows

    @property
    def constrained(self) -> bool:
        """Whether the sweep has constraints."""
        return bool(self.board.goals.constraints)


def read_record(folder: Path) -> SweepRecord:
    """Read a sweep's folder, while it runs or afterwards.

    Raises:
        SearchError: the folder is not that of a sweep, or a file in it is torn.
    """
    study = read_study(folder / JOURNAL)
    config = folder / CONFIG
    return SweepRecord(
        name=folder.resolve().name,
        study=study,
        board=rank_trials(study),
        searched=_searched(study, folder / SPACE),
        timings=_json(folder / TIMINGS),
        confirmation=read_confirmation(folder),
        config=_yaml(config),
        advice=(_json(folder / DATA) or {}).get("advice", ()),
    )


def _searched(study: optuna.Study, space: Path) -> list[Searched]:
    """The space's parameters, and those that only trials of an earlier space have."""
    found: dict[str, Searched] = {}
    tree = _json(space)
    if tree is not None:
        for each in Space.parse(tree).parameters:
            found[each.key] = Searched(each.key, each.distribution, each.when)
    for trial in study.get_trials(deepcopy=False):
        for key, distribution in trial.distributions.items():
            if key not in found:
                # Optuna has no other than these three.
                found[key] = Searched(key, cast("Distribution", distribution), {})
    return list(found.values())


def _yaml(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return load_plain(read_bounded(path, _MOST_BYTES).decode())
    except ValueError as error:
        raise SearchError(
            f"the config of a sweep cannot be read ({error})", found=str(path), remedy=_RESTORE
        ) from error


def _json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(read_bounded(path, _MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise SearchError(
            f"a file of a sweep is no JSON ({error})", found=str(path), remedy=_RESTORE
        ) from error
