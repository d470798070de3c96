"""Where a sweep stands that may have been interrupted, read from its journal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from optuna import Study

from rayml.errors import SearchError
from rayml.search.journal.ancestry import read_descents
from rayml.search.journal.journal import read_study
from rayml.search.journal.optuna_study import SUGGESTIONS
from rayml.search.journal.repair import parse, require_no_writer
from rayml.search.journal.trial_record import TrialRecord, read_trial
from rayml.search.problem.budget import Usage, budget_of, cost_per_second, spent
from rayml.search.space.parameter import Params
from rayml.settings.search import SearchSettings


@dataclass(frozen=True, slots=True)
class SweepStatus:
    """What a sweep has done and spent.

    Attributes:
        finished: trials that ended, in any state.
        running: trials that have not ended.
        elapsed: seconds of the sweep until the last one ended.
        epochs: that all trials finished.
        busy: seconds of training and evaluation of those that ended.
        torn: bytes of an unfinished last line of the journal, which resuming cuts off.
        params: searched values that it may go on with: of its trials, their descents, and its
            suggestions.
    """

    finished: int
    running: int
    elapsed: float
    epochs: int = 0
    busy: float = 0.0
    torn: int = 0
    params: tuple[Params, ...] = field(default=(), compare=False, repr=False)

    def is_over(self, search: SearchSettings) -> bool:
        """Whether there is nothing left to do within the budgets of a search."""
        budget = budget_of(search)
        usage = Usage(
            done=self.finished,
            seconds=self.elapsed,
            epochs=self.epochs,
            cost=cost_per_second(search) * self.busy,
        )
        done = budget.trials is not None and self.finished >= budget.trials
        over = done or spent(budget, usage) is not None
        return over and not self.running


def read_status(journal: Path) -> SweepStatus:
    """Read a sweep's journal.

    Raises:
        SearchError: there is none, or a process writes it.
    """
    if not journal.is_file():
        raise SearchError(
            "the sweep has no journal", found=str(journal), remedy="Check the sweep's name"
        )
    require_no_writer(journal)
    logs, torn = parse(journal.read_bytes(), journal)
    if not logs:
        return SweepStatus(0, 0, 0.0, torn=len(torn))  # it was killed before it wrote anything
    study = read_study(journal)
    records = [read_trial(trial) for trial in study.get_trials(deepcopy=False)]
    ended = [each for each in records if each.state is not None]
    return SweepStatus(
        finished=len(ended),
        running=len(records) - len(ended),
        elapsed=max((each.spent.elapsed for each in ended), default=0.0),
        epochs=sum(len(each.curve) for each in records),
        busy=sum(each.spent.train + each.spent.eval for each in ended),
        torn=len(torn),
        params=tuple(_params(study, records)),
    )


def _params(study: Study, records: Sequence[TrialRecord]) -> Iterator[Params]:
    for record in records:
        yield record.params
        yield from (each.params for each in read_descents(record.descents))
    attributes = study._storage.get_study_system_attrs(study._study_id)  # noqa: SLF001 - as its own property, which warns
    yield from attributes.get(SUGGESTIONS, ())
