"""What the study writes into its journal, and finds there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from rayml.errors import SearchError
from rayml.search.journal.atomic_trial import DraftStorage
from rayml.search.journal.journal import SweepJournal
from rayml.search.journal.optuna_study import create_study, set_excesses
from rayml.search.journal.replay import (
    COHORT,
    EPOCH,
    FIRST_EPOCH,
    LINEAGE,
    REASON,
    REQUEST,
    RESTARTS,
    SESSION,
    SPENT,
    SUGGESTED,
    TUNE_TRIAL,
    Spent,
    spent_value,
)
from rayml.search.problem.goals import Outcome
from rayml.search.problem.parameter import Params
from rayml.search.problem.study_plan import StudyPlan
from rayml.search.problem.trials import Curve, State


class Ledger:
    """An Optuna study on a journal, with one writer.

    What is written may be lost in a crash until `commit`, of a trial all or nothing.

    Args:
        plan: of the study.
        resume: go on with the plan's journal, in place of a new one.

    Raises:
        SearchError: the journal exists, or it is to be resumed and cannot be.
    """

    def __init__(self, plan: StudyPlan, *, resume: bool) -> None:
        self._journal = SweepJournal(plan.journal, existing=resume)
        self._storage = DraftStorage(self._journal)
        try:
            self._optuna = create_study(
                plan.name,
                self._storage,
                plan.goals,
                resume=resume,
                suggestions=plan.history.suggestions,
            )
            self._journal.commit()
        except SearchError:
            self._journal.close()
            raise
        self._study_id = self._storage.get_study_id_from_name(plan.name)

    @property
    def torn(self) -> bytes:
        """The unfinished last line that was cut off the journal."""
        return self._journal.torn

    @property
    def attributes(self) -> dict[str, Any]:
        """System attributes of the study."""
        return self._storage.get_study_system_attrs(self._study_id)

    def trials(self) -> list[FrozenTrial]:
        """All of them, by number; not to be changed."""
        return self._storage.get_all_trials(self._study_id, deepcopy=False)

    def propose_by(self, sampler: BaseSampler) -> None:
        """Choose who proposes from now on."""
        self._optuna.sampler = sampler

    def ask(
        self,
        number: int,
        fixed: Params,
        suggest: Callable[[Trial], Params],
        *,
        cohort: int,
        session: str,
        tune_trial: str | None,
        request: str,
        suggested: int | None,
    ) -> tuple[int, Params]:
        """Write a new running trial, whole.

        Args:
            number: that it has.
            fixed: values that no sampler shall choose.
            suggest: asks an Optuna trial for its values.
            cohort: see `Record`, as are those that follow.
            session: likewise.
            tune_trial: likewise.
            request: likewise.
            suggested: likewise.

        Returns:
            Its id in the storage, and its values.
        """
        self._storage.begin_draft(number, fixed)
        params = suggest(self._optuna.ask())
        system: dict[str, Any] = {COHORT: cohort}
        system |= {k: v for k, v in ((SESSION, session), (REQUEST, request)) if v}
        system |= {} if suggested is None else {SUGGESTED: suggested}
        user = {} if tune_trial is None else {TUNE_TRIAL: tune_trial}
        return self._storage.publish(user, system), params

    def give(self, trial_id: int, tune_trial: str, session: str) -> None:
        """Write to whom a trial was given."""
        self._storage.set_trial_user_attr(trial_id, TUNE_TRIAL, tune_trial)
        self._storage.set_trial_system_attr(trial_id, SESSION, session)

    def restarted(self, trial_id: int, restarts: Sequence[Mapping[str, int]]) -> None:
        """Write how often and from where a trial was begun again."""
        self._storage.set_trial_user_attr(trial_id, RESTARTS, restarts)

    def inherited(self, trial_id: int, lineage: Sequence[Mapping[str, Any]]) -> None:
        """Write which trials one of a population is a copy of."""
        self._storage.set_trial_system_attr(trial_id, LINEAGE, lineage)

    def first_epoch(self, seconds: float) -> None:
        """Write when the first epoch of the sweep was reported."""
        self._storage.set_study_system_attr(self._study_id, FIRST_EPOCH, seconds)

    def epoch(
        self, trial_id: int, step: int, value: float, metrics: Mapping[str, float]
    ) -> Mapping[str, float | None]:
        """Write an epoch of a trial.

        Returns:
            The metrics as they are in the journal: JSON has no NaN, which an undefined one is.
        """
        finite = {k: v if math.isfinite(v) else None for k, v in metrics.items()}
        # By the storage, since `Trial.report` refuses trials of several objectives. An epoch that
        # has a value in the journal has its metrics too.
        self._storage.set_trial_system_attr(trial_id, f"{EPOCH}{step}", finite)
        self._storage.set_trial_intermediate_value(trial_id, step, float(value))
        return finite

    def end(
        self,
        number: int,
        trial_id: int,
        state: State,
        result: Outcome,
        *,
        reason: str,
        spent: Spent,
    ) -> None:
        """Write how a trial ended."""
        if reason:
            self._storage.set_trial_user_attr(trial_id, REASON, reason)
        self._storage.set_trial_system_attr(trial_id, SPENT, spent_value(spent))
        if state != "FAIL" and result.excesses:
            set_excesses(self._storage, trial_id, result.excesses)
        values = list(result.values.values()) if state == "COMPLETE" else None
        self._optuna.tell(number, values, state=TrialState[state])  # type: ignore[arg-type]

    def curve(self, number: int, metric: str) -> Curve:
        """What was measured after each epoch of a trial.

        Args:
            number: of the trial.
            metric: that its values are of.
        """
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        trial = self._storage.get_trial(trial_id)
        return {
            step: {**trial.system_attrs.get(f"{EPOCH}{step}", {}), metric: value}
            for step, value in sorted(trial.intermediate_values.items())
        }

    def commit(self) -> None:
        """See `SweepJournal.commit`."""
        self._journal.commit()

    def close(self) -> None:
        """Write and close the journal; trials that still run stay RUNNING in it."""
        self._journal.close()
