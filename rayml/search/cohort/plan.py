"""What a sweep is given: its plan, and the data of its trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayml.search.problem.space import Space
from rayml.search.pruning.quota import Quota
from rayml.settings.search import (
    BoundSettings,
    ObjectiveSettings,
    PopulationSettings,
    PriceSettings,
)
from rayml.tasks.objectives import Objective
from rayml.types import (
    Compile,
    Examples,
    FeatureShape,
    PrunerSettings,
    ResourceSettings,
    SamplerSettings,
    TargetInfo,
    TrackingSettings,
)

if TYPE_CHECKING:
    from rayml.train.loop.streaming import ParquetSplit


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """One search.

    Attributes:
        name: of the sweep and its folder.
        sweeps: folder of all sweeps.
        trial: plain config of a trial: the sections model, task and train.
        space: what is searched in it.
        trials: trials at most.
        seconds: wall-clock budget; None sets none.
        epochs: budget of epochs, summed over all trials; None sets none.
        cost: budget of the workers' time at `prices`; None sets none.
        prices: what the resources of a trial cost.
        objectives: what is optimised beside the metric of the section task.
        constraints: bounds that a trial keeps, by name of a quantity.
        concurrency: trials in progress at most; None takes what the cluster's resources allow.
        resources: of one trial.
        max_failures: restarts of a cohort whose worker died.
        lanes: trials that a cohort holds at most; None leaves that to be measured.
        fillings: how many times its lanes a cohort is given, refills included.
        compile: whether the training of cohorts is compiled.
        sampler: who proposes.
        pruner: who is stopped.
        seed: of the sampler.
        resume: go on with the sweep of that name.
        storage: URL of a database that its study is written to as well.
        warm_start: folders of sweeps whose trials inform this one.
        tracking: where else the trials are recorded.
        deterministic: whether its trials are the same on every run, however long they take.
        population: how the lanes of a cohort train as a population; None trains each for itself.
    """

    name: str
    sweeps: Path
    trial: Mapping[str, Any]
    space: Space
    trials: int
    seconds: float | None = None
    epochs: int | None = None
    cost: float | None = None
    prices: PriceSettings = field(default_factory=PriceSettings)
    objectives: tuple[ObjectiveSettings, ...] = ()
    constraints: Mapping[str, BoundSettings] = field(default_factory=dict)
    concurrency: int | None = None
    resources: ResourceSettings = field(default_factory=ResourceSettings)
    max_failures: int = 3
    lanes: int | None = None
    fillings: int = 2
    compile: Compile = "auto"
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    pruner: PrunerSettings = field(default_factory=PrunerSettings)
    seed: int = 0
    resume: bool = False
    storage: str | None = None
    warm_start: tuple[Path, ...] = ()
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    deterministic: bool = False
    population: PopulationSettings | None = None

    @property
    def folder(self) -> Path:
        """Where everything of the sweep lies."""
        return self.sweeps / self.name


@dataclass(frozen=True)
class SweepData:
    """What every trial trains on.

    Attributes:
        train: the training split; arrays are put in the object store once and shared.
        validation: the split that values are measured on.
        shape: of the features.
        target: what is predicted.
    """

    train: Examples | ParquetSplit
    validation: Examples | ParquetSplit
    shape: FeatureShape
    target: TargetInfo


@dataclass(frozen=True)
class CohortPlan:
    """What a worker knows of the sweep.

    Attributes:
        trial: plain config that a trial's values are put into.
        objective: what the study was told to optimise.
        space: what is searched in it.
        trials: folder of the trials' folders.
        cohorts: folder of the cohorts' folders.
        quota: what a cohort may take.
        measure: whether a cohort holds as many lanes as train fastest, up to its quota.
        deterministic: whether cohorts speak with the study in turns, and PyTorch may only use
            algorithms that give the same result each time.
        population: how the lanes of a cohort train as a population; None trains each for itself.
        seed: of the population's random numbers.
        pruner: who is stopped, to predict how long the cohort trains.
        compile: whether its training is compiled.
        threads: CPU threads that an estimator may use.
    """

    trial: Mapping[str, Any]
    objective: Objective
    space: Space
    trials: Path
    cohorts: Path
    quota: Quota
    measure: bool = True
    deterministic: bool = False
    population: PopulationSettings | None = None
    seed: int = 0
    pruner: PrunerSettings = field(default_factory=PrunerSettings)
    compile: Compile = "auto"
    threads: int = 1
