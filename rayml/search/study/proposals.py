"""What a study proposes next: a suggestion, a point of a grid, or what its sampler chooses."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np

from rayml.search.journal.optuna_study import STRUCTURE, SUGGESTIONS
from rayml.search.journal.study_journal import StudyJournal
from rayml.search.journal.trial_record import TrialRecord
from rayml.search.problem.study_plan import StudyPlan
from rayml.search.pruning.quota import Standing
from rayml.search.sampling.points import Points
from rayml.search.sampling.samplers import build_sampler, grid_points, points_left
from rayml.search.space.parameter import Params, Scalar
from rayml.search.study.families import starved
from rayml.search.study.structures import Structures
from rayml.train.families import FAMILY_KEY, family_of

# Proposals that a sampler is asked for before chance chooses among what is left.
_ATTEMPTS = 8


class Proposals:
    """Asks for trials that were not tried, those of an earlier process counted.

    A trial counts from when it is asked, however it ends. What a class of the user's proposes is
    taken as it is, as it may have its reasons to try something twice.

    Args:
        plan: of the study.
        journal: that the trials are written to.
        records: of the trials so far.

    Attributes:
        most: trials that can be asked for, those so far included; a space may have fewer points
            than the budget allows. None where there is no limit.
        structures: of the trials.
    """

    def __init__(
        self, plan: StudyPlan, journal: StudyJournal, records: Sequence[TrialRecord]
    ) -> None:
        self._plan = plan
        self._journal = journal
        self._asked = 0
        self._families: list[str] = []
        self._tried = Points(plan.space, plan.trial)
        self.structures = Structures(plan.space, plan.trial, journal.attributes.get(STRUCTURE, {}))
        for each in records:
            self._take(each.params)
        self._grid: deque[dict[str, Scalar]] | None = None
        if plan.search.sampler.kind == "grid":
            points = grid_points(plan.space, plan.trial, plan.seed)
            self._grid = deque(points_left(points, (each.params for each in records)))
        self._repeats = plan.search.sampler.target is not None
        left = None if self._repeats else self._tried.left
        limits = [plan.search.trials, None if left is None else len(records) + left]
        self.most = min((each for each in limits if each is not None), default=None)
        self._suggestions: Sequence[Params] = journal.attributes.get(SUGGESTIONS, [])
        self._taken = {each.suggested for each in records}
        history = plan.history.over(plan.space, plan.trial, journal.trials())
        journal.propose_by(
            build_sampler(plan.search.sampler, plan.seed, history=history, asked=self._asked)
        )

    @property
    def has_more(self) -> bool:
        """Whether there are trials that can still be asked for."""
        return self.most is None or self.most > self._asked

    @property
    def exhausted(self) -> str:
        """Why a sweep ends with trials left; empty where it does not."""
        if self.has_more or self.most == self._plan.search.trials:
            return ""
        return (
            f"all {self.most} points of the space are tried, so the sweep ends before its budget"
            " is spent"
        )

    @property
    def looked(self) -> int:
        """Structures that trials have; 0 while nothing is known of structures."""
        return self.structures.shapes

    @property
    def standing(self) -> Standing:
        """How far the sweep has come."""
        search = self._plan.search
        # Another budget may be spent long before all trials are asked.
        others = (search.seconds, search.epochs, search.cost)
        return Standing(
            trials=self.most if all(each is None for each in others) else None,
            asked=self._asked,
            workers=self._plan.workers,
            looked=self.structures.looked,
            left=self.structures.left,
        )

    def ask(
        self,
        fixed: Params,
        *,
        new: bool = False,
        cohort: int,
        tune_trial: str | None,
        request: str,
    ) -> TrialRecord | None:
        """Write one more trial.

        Args:
            fixed: values by key that it has.
            new: of a structure that no trial has, where there is one left.
            cohort: see `TrialRecord`.
            tune_trial: see `TrialRecord`.
            request: see `TrialRecord`.

        Returns:
            None if every point with the fixed values was tried.
        """
        suggested, found = self._suggested(fixed)
        family = {} if fixed else self._family()
        new = new and self.structures.left != 0
        if found is None and family:
            found = self._proposed(family, new=new)
        # A family of few points may have none left.
        if found is None:
            found = self._proposed(fixed, new=new)
        if found is None:
            return None
        record = self._journal.publish(
            self._asked,
            found,
            cohort=cohort,
            session=self._plan.session,
            tune_trial=tune_trial,
            request=request,
            suggested=suggested,
        )
        self._take(record.params)
        return record

    def _family(self) -> Params:
        """The family that the next trial must be of, so that none starves; empty leaves it open."""
        for each in self._plan.space.parameters:
            if each.key == FAMILY_KEY and (values := each.values()) is not None:
                family = starved([str(value) for value in values], self._families)
                return {} if family is None else {FAMILY_KEY: family}
        return {}

    def _take(self, params: Params) -> None:
        self._asked += 1
        self._families.append(family_of(params))
        self._tried.add(params)
        self.structures.add(params)

    def _suggested(self, fixed: Params) -> tuple[int | None, Params | None]:
        """The first suggestion with the fixed values that no trial took, with its place."""
        for place, values in enumerate(self._suggestions):
            if place not in self._taken and values.items() >= fixed.items():
                self._taken.add(place)
                found = self._draft({**values, **fixed})
                if self._repeats or found not in self._tried:
                    return place, found
        return None, None

    def _proposed(self, fixed: Params, *, new: bool) -> Params | None:
        """A draft that was not tried; None if every point with the fixed values was."""
        if self._grid is not None:
            point = self._point(fixed, new=new)
            return None if point is None else self._draft({**fixed, **point})
        for attempt in range(_ATTEMPTS):
            found = self._draft(fixed, attempt)
            if self._repeats and not new:
                return found
            if found not in self._tried and (not new or self.structures.is_new(found)):
                return found
        rng = np.random.default_rng([self._plan.seed % 2**64, self._asked])
        if new:
            structure = self.structures.pick(rng, fixed)
            return self._proposed({**(structure or {}), **fixed}, new=False)
        left = self._tried.pick(rng, fixed)
        return None if left is None else self._draft({**left, **fixed})

    def _draft(self, wanted: Params, attempt: int = 0) -> Params:
        return self._journal.draft(
            self._asked,
            wanted,
            lambda trial: self._plan.space.suggest(trial, self._plan.trial),
            attempt=attempt,
        )

    def _point(self, fixed: Params, *, new: bool) -> Mapping[str, Scalar] | None:
        """A point of the grid that is left."""
        assert self._grid is not None
        for place, point in enumerate(self._grid):
            if point.items() >= fixed.items() and (not new or self.structures.is_new(point)):
                del self._grid[place]
                return point
        return self._point(fixed, new=False) if new else None
