"""A trial that is asked for in one piece: in the journal it is there with all it has, or not."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from rayml.search.journal.journal import SweepJournal, SweepStorage
from rayml.search.space.parameter import Params, snapped

ATTEMPT = "attempt"
_DRAFT = -1
_FIXED = "fixed_params"  # where Optuna's trials look for values that no sampler shall choose


class AtomicStorage(SweepStorage):
    """Keeps a new trial in memory while a sampler fills it, and then writes it as one operation.

    Optuna writes an operation for the trial and one for each parameter, so that a crash between
    two of them leaves a trial without all its values. It also refuses a parameter whose choices
    differ from those of an earlier trial, which a sweep with a changed space has; a trial that
    is written whole is taken as it is, by every reader.
    """

    def __init__(self, journal: SweepJournal) -> None:
        super().__init__(journal)
        self._draft: FrozenTrial | None = None
        self._attributes: dict[str, Any] = {}
        self._number = 0

    def begin_trial(self, number: int, fixed: Params, attempt: int = 0) -> None:
        """Make the next trial that Optuna creates a draft.

        Args:
            number: that the trial will have.
            fixed: values that it shall have.
            attempt: drafts of it before this one, from which a sampler that draws by a trial's
                number knows that it is asked for something else.
        """
        self._number = number
        self._attributes = {_FIXED: dict(fixed)} if fixed else {}
        self._attributes |= {ATTEMPT: attempt} if attempt else {}
        self._draft = None

    def publish(self, user: Mapping[str, Any], system: Mapping[str, Any]) -> int:
        """Write the draft as a running trial and return its id.

        Args:
            user: attributes that a dashboard shows.
            system: those that it does not.
        """
        draft = self._require()
        draft.user_attrs |= dict(user)
        draft.system_attrs |= dict(system)
        self._draft = None
        return super().create_new_trial(self._study_id, draft)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """See `BaseStorage`."""
        if template_trial is not None:
            return super().create_new_trial(study_id, template_trial)
        self._study_id = study_id
        self._draft = FrozenTrial(
            number=self._number,
            trial_id=_DRAFT,
            state=TrialState.RUNNING,
            value=None,
            datetime_start=datetime.now(),
            datetime_complete=None,
            params={},
            distributions={},
            user_attrs={},
            system_attrs=self._attributes,
            intermediate_values={},
        )
        return _DRAFT

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """See `BaseStorage`."""
        if trial_id == _DRAFT:
            return copy.copy(self._require())
        return super().get_trial(trial_id)

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """See `BaseStorage`."""
        if trial_id != _DRAFT:
            super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
            return
        draft = self._require()
        # What a sampler proposes lies beside the decimal number of a step.
        value = snapped(distribution.to_external_repr(param_value_internal), distribution)
        draft.params = {**draft.params, param_name: value}
        draft.distributions = {**draft.distributions, param_name: distribution}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """See `BaseStorage`."""
        if trial_id != _DRAFT:
            super().set_trial_system_attr(trial_id, key, value)
            return
        draft = self._require()
        draft.system_attrs = {**draft.system_attrs, key: value}

    def _require(self) -> FrozenTrial:
        assert self._draft is not None
        return self._draft
