"""What a study is told when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rayml.search.problem.goals import Goals
from rayml.search.problem.prior_trials import History
from rayml.search.problem.space import Space
from rayml.settings.search import BoundSettings
from rayml.tasks.objectives import Objective
from rayml.types import Direction, PrunerSettings, SamplerSettings


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """What a study needs to know.

    Attributes:
        name: of the sweep.
        journal: file that the study creates.
        space: what is searched.
        config: of a trial, for conditions on keys that are not searched.
        metric: name of what is optimised first.
        direction: of the metric.
        objectives: further ones.
        constraints: bounds by name of a quantity.
        trials: budget.
        seconds: wall-clock budget; None sets none.
        epochs: budget of epochs, summed over all trials; None sets none.
        cost: budget of the workers' time; None sets none.
        cost_per_second: of a busy worker.
        max_epochs: epochs of a trial that is never stopped.
        sampler: who proposes.
        pruner: who is stopped.
        seed: of the sampler.
        started: `time.time()` of the moment that the wall-clock counts from.
        session: of the driver; trials that were given to another one are handed out again.
        history: of other sweeps, which informs the sampler.
        slots: cohorts that live at a time and speak with the study in turns; None lets each
            speak whenever it likes.
    """

    name: str
    journal: Path
    space: Space
    config: Mapping[str, Any]
    metric: str
    direction: Direction
    trials: int
    max_epochs: int
    started: float
    objectives: tuple[Objective, ...] = ()
    constraints: Mapping[str, BoundSettings] = field(default_factory=dict)
    seconds: float | None = None
    epochs: int | None = None
    cost: float | None = None
    cost_per_second: float = 0.0
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    pruner: PrunerSettings = field(default_factory=PrunerSettings)
    seed: int = 0
    session: str = ""
    history: History = field(default_factory=History)
    slots: int | None = None

    @property
    def goals(self) -> Goals:
        """What the study seeks."""
        first = Objective(self.metric, self.direction)
        return Goals((first, *self.objectives), self.constraints)
