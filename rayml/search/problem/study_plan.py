"""What a study is given when it is made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rayml.search.problem.goals import Goals
from rayml.search.problem.prior_trials import PriorTrials
from rayml.search.space.space import Space, lookup
from rayml.settings.search import SearchSettings
from rayml.train.families import FAMILY

_EPOCHS, _STEPS, _EVAL_STEPS = "train.epochs", "train.steps", "train.eval_steps"


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """What a study needs to know.

    Attributes:
        name: of the sweep.
        journal: file that the study creates.
        space: what is searched.
        trial: plain config of a trial, for conditions on keys that are not searched.
        goals: what is sought.
        search: budgets, sampler and pruner.
        seed: of the sampler.
        started: `time.time()` at which the wall-clock begins.
        session: of the driver; trials that were given to another one are handed out again.
        history: trials of other sweeps, which inform the sampler.
        workers: cohorts that train at a time.
        slots: cohorts that live at a time and speak with the study in turns; None lets each
            speak at any time.
    """

    name: str
    journal: Path
    space: Space
    trial: Mapping[str, Any]
    goals: Goals
    search: SearchSettings
    started: float
    seed: int = 0
    session: str = ""
    history: PriorTrials = field(default_factory=PriorTrials)
    workers: int = 1
    slots: int | None = None

    @property
    def max_epochs(self) -> int:
        """Epochs of a trial that is never stopped, at most."""
        return max_epochs(self.space, self.trial)

    @property
    def eval_steps(self) -> int | None:
        """Steps from one evaluation to the next, each of which counts as an epoch; None: a pass."""
        train = self.trial.get("train", {})
        counts = train.get("steps") is not None or _STEPS in self.space.keys
        return int(train["eval_steps"]) if counts else None


def max_epochs(space: Space, config: Mapping[str, Any]) -> int:
    """The most epochs that a trial may train for, or stretches of steps that count as such."""
    if not (steps := _largest(_STEPS, space, config)):
        return max(_largest(_EPOCHS, space, config))
    stretches = math.ceil(max(steps) / int(lookup(config, _EVAL_STEPS)))
    # Estimators train in rounds beside networks that count steps.
    several = FAMILY in config.get("model", {})
    return max(stretches, *_largest(_EPOCHS, space, config)) if several else stretches


def _largest(key: str, space: Space, config: Mapping[str, Any]) -> list[int]:
    """Values that a number may have at most; none where it is null or no such key is stored."""
    section, _, leaf = key.partition(".")
    given = config[section].get(leaf)
    most = [] if given is None else [int(given)]
    for parameter in space.parameters:
        if parameter.key == key:
            searched = [int(value) for value in parameter.extremes() if value is not None]
            # Where its condition fails, a trial keeps what the config holds.
            most = most + searched if parameter.when else searched
    return most
