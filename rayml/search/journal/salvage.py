"""What can be saved of a journal that is damaged before its last line.

A full disk may cut a write short, and what is written later then follows in the same line. The
operations of whole lines, and of what follows a cut, are kept. Optuna numbers trials by the order
in which they were created, so a trial whose creation is lost gets a stand-in: without it each later
trial would take the results of the one before. A lost creation shows by what is left of its line,
or by operations on a trial that no line created; then it was lost where a write was cut short.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from optuna.storages.journal._storage import JournalOperation
from optuna.trial import TrialState

from rayml.search.journal.trial_record import REASON

Log = dict[str, Any]

_START = b'{"op_code":'
_CREATION = _START + str(int(JournalOperation.CREATE_TRIAL)).encode()
_LOST = "lost: its line of the journal was torn"


@dataclass(frozen=True, slots=True)
class Damage:
    """A line that is no operation.

    Attributes:
        line: its number, from 1.
        size: bytes of it that are lost.
    """

    line: int
    size: int


@dataclass(slots=True)
class Salvage:
    """What is left of a damaged journal.

    Attributes:
        logs: its operations, stand-ins included.
        damages: lines of which something is lost.
        trials: numbers of the trials that a stand-in takes the place of.
    """

    logs: list[Log] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    trials: list[int] = field(default_factory=list)

    def describe(self) -> str:
        """What was lost, in a sentence."""
        lines = ", ".join(f"{each.line} ({each.size} bytes)" for each in self.damages)
        if not self.trials:
            return f"line {lines} was torn; no trial is lost, but an epoch or an end may be"
        lost = ", ".join(map(str, self.trials))
        return f"line {lines} was torn; lost, and counted as failed: trial {lost}"


def parse_line(line: bytes) -> Log | None:
    """The operation of a line; None if it is none, or does not end."""
    if not line.endswith(b"\n"):
        return None
    try:
        log = json.loads(line)
    except ValueError:
        return None
    return log if isinstance(log, dict) and "op_code" in log else None


@dataclass(slots=True)
class _Cut:
    """Where lines may be lost of which nothing is left.

    Attributes:
        at: operations before it.
        created: trials that were created before it.
        likely: whether it may have cut the creation of a trial, with which others are written.
    """

    at: int
    created: int
    likely: bool


def salvage(lines: list[bytes]) -> Salvage | None:
    """Save what can be saved of a journal's lines.

    Returns:
        What is left; None if the study cannot be identified, or if operations are missing
        and it does not show where.
    """
    saved = Salvage()
    created = 0
    cuts: list[_Cut] = []
    for number, line in enumerate(lines, start=1):
        log = parse_line(line)
        if log is None:
            log, size = _after_cut(line)
            saved.damages.append(Damage(number, size))
            lost = line.count(_CREATION, 0, size)
            if not (saved.logs or log):
                return None
            cut = _Cut(len(saved.logs), created, bool(lost) or _hides_start(line[:size]))
            cuts.append(cut)
            created += _stand_in_for(lost, cut, cuts, saved)
        if log is None:
            continue
        missing = log.get("trial_id", -1) - created + 1
        if missing > 0:
            found = _place(cuts)
            if found is None or not saved.logs:
                return None
            created += _stand_in_for(missing, found, cuts, saved)
        created += log["op_code"] == JournalOperation.CREATE_TRIAL
        saved.logs.append(log)
    begun = saved.logs and saved.logs[0]["op_code"] == JournalOperation.CREATE_STUDY
    return saved if begun else None


def _hides_start(lost: bytes) -> bool:
    """Whether some piece of damaged bytes ends before it says which operation it was.

    Several cuts one after the other leave their pieces in one line.
    """
    return any(_START.startswith(b"{" + piece) for piece in lost.split(b"{")[1:])


def _place(cuts: list[_Cut]) -> _Cut | None:
    """The cut at which trials were lost; None if it may be one or another.

    Where no trial was created between two cuts, either gives the same numbers.
    """
    for candidates in ([each for each in cuts if each.likely], cuts):
        if candidates:
            return candidates[-1] if len({each.created for each in candidates}) == 1 else None
    return None


def _stand_in_for(lost: int, cut: _Cut, cuts: list[_Cut], saved: Salvage) -> int:
    """Put stand-ins for some trials where a cut is; their number."""
    if not lost:
        return 0
    saved.logs[cut.at : cut.at] = [_stand_in(saved.logs[0])] * lost
    saved.trials = sorted(
        [each + lost * (each >= cut.created) for each in saved.trials]
        + list(range(cut.created, cut.created + lost))
    )
    for each in cuts[cuts.index(cut) :]:
        each.at += lost
        each.created += lost
    return lost


def _after_cut(line: bytes) -> tuple[Log | None, int]:
    """The operation that a damaged line ends with, and the bytes before it."""
    at = line.find(_START, 1)
    while at > 0:
        log = parse_line(line[at:])
        if log is not None:
            return log, at
        at = line.find(_START, at + 1)
    return None, len(line)


def _stand_in(study: Mapping[str, Any]) -> Log:
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    return {
        "op_code": int(JournalOperation.CREATE_TRIAL),
        "worker_id": study["worker_id"],
        "study_id": 0,
        "datetime_start": now,
        "datetime_complete": now,
        "state": int(TrialState.FAIL),
        "value": None,
        "values": None,
        "distributions": {},
        "params": {},
        "user_attrs": {REASON: _LOST},
        "system_attrs": {},
        "intermediate_values": {},
    }
