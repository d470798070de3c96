"""What can be saved of a journal that is damaged before its last line.

A full disk may cut a write short, and what is written later then follows in the same line. The
operations of whole lines, and of what follows a cut, are kept. Optuna numbers trials by the order
in which they were created, so a trial whose creation is lost gets a stand-in: without it each later
trial would take the results of the one before. A lost creation shows by operations on a trial that
no line created.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from optuna.storages.journal._storage import JournalOperation
from optuna.trial import TrialState

from rayml.search.replay import REASON

Log = dict[str, Any]

_START = b'{"op_code":'
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


def salvage(lines: list[bytes]) -> Salvage | None:
    """Save what can be saved of a journal's lines.

    Returns:
        What is left; None if nothing tells of which study it is, or if operations are missing
        that no line shows the loss of.
    """
    saved = Salvage()
    created = 0
    # Where the stand-in of a trial goes that turns out to be lost, and how many there are by then.
    cut: tuple[int, int] | None = None
    for number, line in enumerate(lines, start=1):
        log = parse_line(line)
        if log is None:
            log, size = _after_cut(line)
            saved.damages.append(Damage(number, size))
            cut = (len(saved.logs), created)
        if log is None:
            continue
        missing = log.get("trial_id", -1) - created + 1
        if missing > 0:
            if cut is None or not saved.logs:
                return None
            at, trial = cut
            saved.logs[at:at] = [_stand_in(saved.logs[0])] * missing
            saved.trials += range(trial, trial + missing)
            cut = (at + missing, trial + missing)
            created += missing
        created += log["op_code"] == JournalOperation.CREATE_TRIAL
        saved.logs.append(log)
    begun = saved.logs and saved.logs[0]["op_code"] == JournalOperation.CREATE_STUDY
    return saved if begun else None


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
