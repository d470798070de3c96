"""The population of a cohort's lanes: their descents, and which lane copies which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray

from rayml.errors import CheckpointError
from rayml.search.cohort.plan import CohortPlan
from rayml.search.cohort.population import Copy, drawn, exploit, explore, generator
from rayml.search.journal.ancestry import Ancestry, Descent, read_descents
from rayml.search.problem.trials import AskedTrial
from rayml.search.space.parameter import Parameter, Params
from rayml.train.loop.checkpoint import load_checkpoint


class Evolution:
    """Selects among a cohort's trials after some epochs, and gives the losers new values.

    Args:
        cohort: its number.
        plan: of the sweep, which has settings of populations.
        study: handle of the study's actor, which records the descents.
        models: that a trial trains, one or one a fold; each is a lane of a checkpoint.
    """

    def __init__(self, cohort: int, plan: CohortPlan, study: Any, *, models: int = 1) -> None:
        self._models = models
        self._cohort = cohort
        self._plan = plan
        assert plan.search.population is not None
        self._settings = plan.search.population
        self._study = study
        self._family: dict[int, Ancestry] = {}
        self._live: tuple[Parameter, ...] = ()

    def recall(self, asked: Sequence[AskedTrial], last: Path) -> list[AskedTrial]:
        """The trials of a cohort with the values that they had in its last checkpoint.

        What the study recorded after that is dropped; it happens once more.

        Args:
            asked: the trials, with the values that they began with.
            last: folder of the checkpoint, which may be absent.
        """
        recorded = ray.get(self._study.descents.remote(self._cohort))
        epochs = _saved_epochs(last, self._models)
        found = []
        for each in asked:
            epoch = epochs.get(each.number, 0)
            descents = read_descents(recorded.get(each.number, ()))
            ancestry = Ancestry(each.params, descents).then(epoch + 1, None)
            self._family[each.number] = ancestry
            found.append(AskedTrial(each.number, ancestry.params_after(epoch)))
        return found

    def join(self, asked: Sequence[AskedTrial]) -> None:
        """Take in trials that begin."""
        for each in asked:
            self._family.setdefault(each.number, Ancestry(each.params))

    def explores(self, keys: set[str]) -> None:
        """Set which searched values a trial may change while it trains."""
        self._live = tuple(each for each in self._plan.space.parameters if each.key in keys)

    def select(self, epoch: int, values: Mapping[int, float]) -> dict[int, Descent]:
        """Select the copies after an epoch, with their values, and record them.

        Args:
            epoch: that all have finished.
            values: of the objective then, by number of the trial.
        """
        if epoch % self._settings.interval:
            return {}
        sign = 1.0 if self._plan.objective.direction == "minimize" else -1.0
        rng = generator(self._plan.seed, self._cohort, epoch)
        signed = {number: sign * value for number, value in values.items()}
        present = {number: self._family[number].params_after(epoch - 1) for number in values}
        descents = {}
        for copy in exploit(signed, self._settings, rng):
            params = self._explored(copy, present, rng)
            descents[copy.loser] = Descent(epoch, copy.winner, params)
        for number in values:
            self._family[number] = self._family[number].then(epoch, descents.get(number))
        plain = {number: each.to_json() for number, each in descents.items()}
        ray.get(self._study.inherit.remote(self._cohort, epoch, plain))
        return descents

    def _explored(self, copy: Copy, present: Mapping[int, Params], rng: Any) -> Params:
        live = {each.key for each in self._live}
        kept = {key: value for key, value in present[copy.loser].items() if key not in live}
        taken = {key: value for key, value in present[copy.winner].items() if key in live}
        found = explore({**kept, **taken}, self._live, self._settings, rng)
        # Whether a value is searched may hang on another one that has changed.
        adopted = self._plan.space.adopt(
            found, self._plan.trial, lambda parameter: drawn(parameter, rng)
        )
        # None, if the space was edited since these trials were asked.
        return {**kept, **taken} if adopted is None else adopted


def _saved_epochs(last: Path, models: int) -> dict[int, int]:
    """Finished epochs of the trials in a checkpoint; none if it cannot be read.

    Args:
        last: folder of the checkpoint.
        models: lanes of a trial, see `rayml.train.folds.lanes.StackedFolds`.
    """
    try:
        state = load_checkpoint(last).state
    except CheckpointError:
        return {}
    return {each["number"] // models: each["epoch"] for each in state["lanes"]}
