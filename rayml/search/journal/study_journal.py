"""What a study writes into its journal: the one place that records a trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from rayml.errors import SearchError
from rayml.search.journal.atomic_trial import AtomicStorage
from rayml.search.journal.journal import SweepJournal
from rayml.search.journal.optuna_study import (
    EVAL_STEPS,
    FIRST_EPOCH,
    STRUCTURE,
    create_study,
    set_excesses,
)
from rayml.search.journal.trial_record import (
    COHORT,
    DESCENTS,
    EPOCH,
    REASON,
    REQUEST,
    RESTARTS,
    SESSION,
    SPENT,
    SUGGESTED,
    TUNE_TRIAL,
    TrialRecord,
    read_trial,
)
from rayml.search.problem.goals import Outcome
from rayml.search.problem.study_plan import StudyPlan
from rayml.search.problem.trials import Curve, Report, State
from rayml.search.space.parameter import Params
from rayml.tasks.objectives import TRAIN_SECONDS


class StudyJournal:
    """An Optuna study on a journal, with one writer.

    Each method changes the record that it is given as it changes the journal. A crash may lose
    what was written since the last `commit`; of a trial it loses all or nothing.

    Args:
        plan: of the study.
        resume: go on with the plan's journal, in place of a new one.

    Raises:
        SearchError: the journal exists, or it is to be resumed and cannot be.
    """

    def __init__(self, plan: StudyPlan, *, resume: bool) -> None:
        self._file = SweepJournal(plan.journal, existing=resume)
        self._storage = AtomicStorage(self._file)
        try:
            self._optuna = create_study(
                plan.name,
                self._storage,
                plan.goals,
                resume=resume,
                suggestions=plan.history.suggestions,
            )
            if plan.eval_steps is not None:
                self._optuna.set_user_attr(EVAL_STEPS, plan.eval_steps)
            self._file.commit()
        except SearchError:
            self._file.close()
            raise
        self._study_id = self._storage.get_study_id_from_name(plan.name)

    @property
    def torn(self) -> bytes:
        """The unfinished last line that was cut off the journal."""
        return self._file.torn

    @property
    def attributes(self) -> dict[str, Any]:
        """System attributes of the study."""
        return self._storage.get_study_system_attrs(self._study_id)

    def trials(self) -> list[FrozenTrial]:
        """All trials by number; not to be changed."""
        return self._storage.get_all_trials(self._study_id, deepcopy=False)

    def propose_by(self, sampler: BaseSampler) -> None:
        """Choose the sampler of the trials to come."""
        self._optuna.sampler = sampler

    def draft(
        self,
        number: int,
        fixed: Params,
        suggest: Callable[[Trial], Params],
        *,
        attempt: int = 0,
    ) -> Params:
        """Propose the values of a new trial, which nothing is written of until `publish`.

        Args:
            number: of the trial.
            fixed: values that no sampler chooses.
            suggest: gives an Optuna trial its values.
            attempt: drafts of the trial before this one.
        """
        self._storage.begin_trial(number, fixed, attempt)
        return suggest(self._optuna.ask())

    def publish(
        self,
        number: int,
        params: Params,
        *,
        cohort: int,
        session: str,
        tune_trial: str | None,
        request: str,
        suggested: int | None,
    ) -> TrialRecord:
        """Write the latest draft as a running trial, whole.

        Args:
            number: of the trial.
            params: that it was proposed with.
            cohort: see `TrialRecord`.
            session: see `TrialRecord`.
            tune_trial: see `TrialRecord`.
            request: see `TrialRecord`.
            suggested: see `TrialRecord`.
        """
        system: dict[str, Any] = {COHORT: cohort}
        system |= {k: v for k, v in ((SESSION, session), (REQUEST, request)) if v}
        system |= {} if suggested is None else {SUGGESTED: suggested}
        user = {} if tune_trial is None else {TUNE_TRIAL: tune_trial}
        return TrialRecord(
            number=number,
            trial_id=self._storage.publish(user, system),
            params=params,
            cohort=cohort,
            session=session,
            tune_trial=tune_trial,
            request=request,
            suggested=suggested,
        )

    def give(self, record: TrialRecord, tune_trial: str, session: str) -> None:
        """Record which Ray Tune trial, of which driver, trains a trial."""
        record.tune_trial, record.session = tune_trial, session
        self._storage.set_trial_user_attr(record.trial_id, TUNE_TRIAL, tune_trial)
        self._storage.set_trial_system_attr(record.trial_id, SESSION, session)

    def begin(self, record: TrialRecord, epoch: int) -> None:
        """Record that a worker trains a trial from an epoch on; from the second on a restart."""
        if record.begun:
            record.restarts.append({"reported": len(record.curve), "checkpoint": epoch})
            self._storage.set_trial_user_attr(record.trial_id, RESTARTS, record.restarts)
        record.begun = True

    def inherit(self, record: TrialRecord, epoch: int, descent: Mapping[str, Any] | None) -> None:
        """Record that a trial went on as a copy after an epoch, or did not.

        What was recorded of that epoch and of later ones is replaced.
        """
        descents = [each for each in record.descents if each["epoch"] < epoch]
        descents += [] if descent is None else [dict(descent)]
        if descents != record.descents:
            record.descents = descents
            self._storage.set_trial_system_attr(record.trial_id, DESCENTS, descents)

    def first_epoch(self, seconds: float) -> None:
        """Record when the first epoch of the sweep was reported."""
        self._storage.set_study_system_attr(self._study_id, FIRST_EPOCH, seconds)

    def structure(self, keys: Mapping[str, bool]) -> None:
        """Record which searched keys the trials of a cohort share."""
        self._storage.set_study_system_attr(self._study_id, STRUCTURE, dict(keys))

    def report(self, record: TrialRecord, report: Report) -> None:
        """Record an epoch of a trial; an undefined metric is None, as JSON has no NaN."""
        spent = record.spent
        record.spent = replace(
            spent, train=spent.train + report.train_seconds, eval=spent.eval + report.eval_seconds
        )
        metrics = {**report.metrics, TRAIN_SECONDS: record.spent.train}
        finite = {k: v if math.isfinite(v) else None for k, v in metrics.items()}
        record.curve[report.epoch], record.metrics[report.epoch] = report.value, finite
        # By the storage, since `Trial.report` refuses trials of several objectives. The metrics
        # come first, so that an epoch with a value has them.
        self._storage.set_trial_system_attr(record.trial_id, f"{EPOCH}{report.epoch}", finite)
        self._storage.set_trial_intermediate_value(
            record.trial_id, report.epoch, float(report.value)
        )

    def end(
        self, record: TrialRecord, state: State, result: Outcome, *, reason: str, elapsed: float
    ) -> None:
        """Record how a trial ended.

        Args:
            record: of the trial.
            state: it ended in.
            result: values that count.
            reason: why it was pruned or failed.
            elapsed: seconds of the sweep.
        """
        spent = record.spent = replace(record.spent, elapsed=elapsed)
        record.state, record.reason = state, reason
        if reason:
            self._storage.set_trial_user_attr(record.trial_id, REASON, reason)
        seconds = [spent.train, spent.eval, spent.elapsed]
        self._storage.set_trial_system_attr(record.trial_id, SPENT, seconds)
        if state != "FAIL" and result.excesses:
            set_excesses(self._storage, record.trial_id, result.excesses)
        values = list(result.values.values()) if state == "COMPLETE" else None
        self._optuna.tell(record.number, values, state=TrialState[state])  # type: ignore[arg-type]

    def curve(self, number: int, metric: str) -> Curve:
        """What was measured after each epoch of a trial, its value as that of a metric."""
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        record = read_trial(self._storage.get_trial(trial_id))
        return {
            epoch: {**record.metrics[epoch], metric: value} for epoch, value in record.curve.items()
        }

    def commit(self) -> None:
        """See `SweepJournal.commit`."""
        self._file.commit()

    def close(self) -> None:
        """Write and close the journal; trials that still run stay RUNNING in it."""
        self._file.close()
