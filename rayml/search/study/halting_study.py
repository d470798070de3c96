"""A study that ends the sweep where a disk takes no more, so that nothing counts that is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rayml.errors import StorageError
from rayml.search.journal.replay import Cohort
from rayml.search.problem.parameter import Params
from rayml.search.problem.trials import AskedTrial, FinishedTrial, State
from rayml.search.pruning.pruning import Decision
from rayml.search.study.ordered_study import OrderedStudy


class HaltingStudy(OrderedStudy):
    """A study that halts once its journal, or a worker's file, cannot be written.

    A halted study proposes nothing and records nothing: trials that had not ended stay so in the
    journal, and a resumed sweep goes on with them.
    """

    _reason = ""

    def halt(self, reason: str) -> None:
        """Record and propose nothing from now on; the first reason stays."""
        self._reason = self._reason or reason

    def halted(self) -> str:
        """Why nothing is recorded any more; empty while something is."""
        return self._reason

    @property
    def has_more(self) -> bool:
        """See `Study`; a halted study has none."""
        return not self._reason and super().has_more

    def next_cohort(self, n: int = 1, *, tune_trial: str) -> tuple[int, list[AskedTrial]]:
        """See `Study`; a halted study gives none."""
        if self._reason:
            return 0, []
        try:
            with self._halting():
                return super().next_cohort(n, tune_trial=tune_trial)
        except StorageError:
            return 0, []  # the driver, which asks, looks why once the sweep has ended

    def ask(
        self,
        n: int = 1,
        fixed: Params | None = None,
        *,
        tune_trial: str | None = None,
        cohort: int | None = None,
        request: str = "",
    ) -> list[AskedTrial]:
        """See `Study`; a halted study gives none."""
        if self._reason:
            return []
        with self._halting():
            return super().ask(n, fixed, tune_trial=tune_trial, cohort=cohort, request=request)

    def orphans(self) -> tuple[Cohort, ...]:
        """See `Study`; a halted study has none to give, so that no turn waits for one."""
        return () if self._reason else super().orphans()

    def lanes(self, cohort: int) -> list[AskedTrial]:
        """See `Study`; of a halted study none is left to train."""
        return [] if self._reason else super().lanes(cohort)

    def begin(self, number: int, epoch: int) -> bool:
        """See `Study`."""
        with self._halting():
            return super().begin(number, epoch)

    def report(
        self, number: int, step: int, value: float, metrics: Mapping[str, float], **spent: Any
    ) -> Decision:
        """See `Study`."""
        with self._halting():
            return super().report(number, step, value, metrics, **spent)

    def tell(
        self, number: int, state: State, value: float | None = None, reason: str = ""
    ) -> FinishedTrial:
        """See `Study`."""
        with self._halting():
            return super().tell(number, state, value, reason)

    def inherit(self, cohort: int, epoch: int, descents: Mapping[int, Mapping[str, Any]]) -> None:
        """See `PopulationStudy`."""
        with self._halting():
            super().inherit(cohort, epoch, descents)

    def close(self) -> None:
        """See `Study`; what a halted study could not write stays unwritten."""
        with self._halting():
            super().close()

    @contextmanager
    def _halting(self) -> Iterator[None]:
        """Halt where the journal cannot be written.

        Raises:
            StorageError: it cannot, or the study has halted before.
        """
        if self._reason:
            raise StorageError(self._reason)
        try:
            yield
        except StorageError as error:
            self.halt(str(error))
            raise
