"""What a study is given when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rayml.search.problem.goals import Goals
from rayml.search.problem.prior_trials import PriorTrials
from rayml.search.space.space import Space, lookup
from rayml.settings.search import SearchSettings

_EPOCHS = "train.epochs"


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


def max_epochs(space: Space, config: Mapping[str, Any]) -> int:
    """The most epochs that a trial may train for."""
    most = [int(lookup(config, _EPOCHS))]
    for parameter in space.parameters:
        if parameter.key == _EPOCHS:
            searched = [int(value) for value in parameter.extremes() if value is not None]
            # Where its condition fails, a trial keeps what the config holds.
            most = most + searched if parameter.when else searched
    return max(most)
