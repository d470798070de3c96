"""Where a sweep stands that may have been interrupted, told from its journal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from optuna.trial import TrialState

from rayml.errors import SearchError
from rayml.search.journal import read_study
from rayml.search.repair import is_locked, parse
from rayml.search.replay import SPENT, Spent


@dataclass(frozen=True, slots=True)
class Standing:
    """Trials of a sweep.

    Attributes:
        finished: trials that ended in whatever state.
        running: trials that did not.
        elapsed: seconds of the sweep until the last one ended.
        torn: bytes of an unfinished last line of the journal, which resuming cuts off.
    """

    finished: int
    running: int
    elapsed: float
    torn: int = 0

    def is_over(self, trials: int, seconds: float | None) -> bool:
        """Whether there is nothing left to do within the budgets."""
        spent = seconds is not None and self.elapsed >= seconds
        return not self.running and (self.finished >= trials or spent)


def read_standing(journal: Path) -> Standing:
    """Read a sweep's journal.

    Raises:
        SearchError: there is none, or a process writes it.
    """
    if not journal.is_file():
        raise SearchError(
            "a sweep that goes on has its journal", value=str(journal), remedy="Check its name"
        )
    if is_locked(journal):
        raise SearchError(
            "one process at a time writes a study, and another one does",
            value=str(journal),
            remedy="Wait for the sweep that runs under this name, or end it",
        )
    logs, torn = parse(journal.read_bytes(), journal)
    if not logs:
        return Standing(0, 0, 0.0, len(torn))  # it was killed before it wrote anything
    trials = read_study(journal).get_trials(deepcopy=False)
    finished = [trial for trial in trials if trial.state.is_finished()]
    elapsed = max(
        (Spent(*each.system_attrs.get(SPENT, ())).elapsed for each in finished), default=0.0
    )
    running = sum(trial.state == TrialState.RUNNING for trial in trials)
    return Standing(len(finished), running, elapsed, len(torn))
