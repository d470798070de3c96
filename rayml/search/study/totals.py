"""What a study counts, so that no call has to look at all of its trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rayml.errors import SearchError
from rayml.search.journal.replay import Record
from rayml.search.problem.ranking import Rank, rank
from rayml.search.problem.trials import FinishedTrial, State
from rayml.types import Direction


@dataclass
class Tally:
    """Sums over a study's trials, and its best one.

    Attributes:
        directions: of the objectives.
        finished: trials that ended, by number in the order in which they did.
        counts: of them by state.
        best: the best trial so far.
        epochs: finished, over all trials.
        steps: of the optimizers, likewise.
        restarts: times that a trial went on in a new worker.
        train_seconds: of training, added over the workers.
        eval_seconds: of evaluation likewise.
        notes: what the workers told, each once.
    """

    directions: Sequence[Direction]
    finished: dict[int, FinishedTrial] = field(default_factory=dict)
    counts: dict[State, int] = field(
        default_factory=lambda: {"COMPLETE": 0, "PRUNED": 0, "FAIL": 0}
    )
    best: FinishedTrial | None = None
    epochs: int = 0
    steps: int = 0
    restarts: int = 0
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    _best_rank: Rank | None = None

    @property
    def busy_seconds(self) -> float:
        """Of the workers."""
        return self.train_seconds + self.eval_seconds

    def recall(self, record: Record) -> None:
        """Count a trial that an earlier process left."""
        self.restarts += len(record.restarts)
        self.epochs += len(record.curve)
        self.train_seconds += record.spent.train
        self.eval_seconds += record.spent.eval

    def epoch(self, train_seconds: float, eval_seconds: float, steps: int) -> None:
        """Count an epoch of a trial."""
        self.epochs += 1
        self.steps += steps
        self.train_seconds += train_seconds
        self.eval_seconds += eval_seconds

    def finish(self, trial: FinishedTrial) -> None:
        """Count a trial that ended."""
        self.finished[trial.number] = trial
        self.counts[trial.state] += 1
        if trial.value is None:
            return
        found = rank(trial.merit, self.directions)
        if self._best_rank is None or found < self._best_rank:
            self.best, self._best_rank = trial, found

    def later(self, since: int) -> tuple[FinishedTrial, ...]:
        """Trials that ended after so many others."""
        # A caller asks several times a second, mostly for none.
        return tuple(self.finished.values())[since:] if since < len(self.finished) else ()

    def known(self, number: int) -> FinishedTrial:
        """A trial that ended.

        Raises:
            SearchError: there is none of that number.
        """
        if number not in self.finished:
            raise SearchError("a trial is asked before it is told", found=number)
        return self.finished[number]
