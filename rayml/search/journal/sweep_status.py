"""Where a sweep stands that may have been interrupted, told from its journal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from rayml.errors import SearchError
from rayml.search.journal.ancestry import read_descents
from rayml.search.journal.journal import read_study
from rayml.search.journal.repair import parse, require_no_writer
from rayml.search.journal.replay import LINEAGE, SPENT, SUGGESTIONS, Spent
from rayml.search.problem.budget import Budget, Usage, spent
from rayml.search.problem.parameter import Params


@dataclass(frozen=True, slots=True)
class Standing:
    """Trials of a sweep.

    Attributes:
        finished: trials that ended in whatever state.
        running: trials that did not.
        elapsed: seconds of the sweep until the last one ended.
        epochs: that all trials finished.
        busy: seconds of training and evaluation of those that ended.
        torn: bytes of an unfinished last line of the journal, which resuming cuts off.
        params: searched values that it may go on with: of its trials, of what those went on as
            copies of, and of its suggestions.
    """

    finished: int
    running: int
    elapsed: float
    epochs: int = 0
    busy: float = 0.0
    torn: int = 0
    params: tuple[Params, ...] = field(default=(), compare=False, repr=False)

    def is_over(self, budget: Budget, cost_per_second: float = 0.0) -> bool:
        """Whether there is nothing left to do within a budget."""
        usage = Usage(
            done=self.finished,
            seconds=self.elapsed,
            epochs=self.epochs,
            cost=cost_per_second * self.busy,
        )
        over = self.finished >= budget.trials or spent(budget, usage) is not None
        return over and not self.running


def read_standing(journal: Path) -> Standing:
    """Read a sweep's journal.

    Raises:
        SearchError: there is none, or a process writes it.
    """
    if not journal.is_file():
        raise SearchError(
            "a sweep that goes on has its journal", found=str(journal), remedy="Check its name"
        )
    require_no_writer(journal)
    logs, torn = parse(journal.read_bytes(), journal)
    if not logs:
        return Standing(0, 0, 0.0, torn=len(torn))  # it was killed before it wrote anything
    study = read_study(journal)
    trials = study.get_trials(deepcopy=False)
    finished = [trial for trial in trials if trial.state.is_finished()]
    seconds = [Spent(*each.system_attrs.get(SPENT, ())) for each in finished]
    return Standing(
        finished=len(finished),
        running=sum(trial.state == TrialState.RUNNING for trial in trials),
        elapsed=max((each.elapsed for each in seconds), default=0.0),
        epochs=sum(len(trial.intermediate_values) for trial in trials),
        busy=sum(each.train + each.eval for each in seconds),
        torn=len(torn),
        params=tuple(_params(study, trials)),
    )


def _params(study: Study, trials: Sequence[FrozenTrial]) -> Iterator[Params]:
    for trial in trials:
        yield trial.params
        yield from (each.params for each in read_descents(trial.system_attrs.get(LINEAGE, ())))
    attributes = study._storage.get_study_system_attrs(study._study_id)  # noqa: SLF001 - as its own property, which warns
    yield from attributes.get(SUGGESTIONS, ())
