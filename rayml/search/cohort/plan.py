"""What a cohort is given: its part of the sweep's plan, and the data of the trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayml.search.problem.trials import AskedTrial
from rayml.search.pruning.quota import Quota
from rayml.search.space.space import Space
from rayml.settings.search import SearchSettings
from rayml.tasks.objectives import Objective
from rayml.types import Examples, FeatureShape, TargetInfo

if TYPE_CHECKING:
    from rayml.data.split.folds import Folds
    from rayml.train.loop.streaming import ParquetSplit


@dataclass(frozen=True)
class SweepData:
    """What every trial trains on.

    Attributes:
        train: the training split; arrays are put in the object store once and shared.
        validation: the split that values are measured on; without rows where there are folds.
        shape: of the features.
        target: what is predicted.
        folds: of the training rows, which then validate in turn; None where a split validates.
    """

    train: Examples | ParquetSplit
    validation: Examples | ParquetSplit
    shape: FeatureShape
    target: TargetInfo
    folds: Folds | None = None

    @property
    def models(self) -> int:
        """Number of models that a trial trains: one, or one a fold."""
        return 1 if self.folds is None else self.folds.count


@dataclass(frozen=True)
class Opening:
    """What a cohort begins with.

    Attributes:
        trials: of it that have not ended, by number.
        quota: trials that it takes at most.
        classified: whether it is known which of the trials' keys a cohort shares.
    """

    trials: tuple[AskedTrial, ...]
    quota: Quota
    classified: bool


@dataclass(frozen=True)
class CohortPlan:
    """What a worker knows of the sweep.

    Attributes:
        trial: plain config that a trial's values are put into.
        objective: what the study optimises first.
        space: what is searched.
        trials: folder of the trials' folders.
        cohorts: folder of the cohorts' folders.
        search: how cohorts and populations train.
        seed: of a population's random numbers.
    """

    trial: Mapping[str, Any]
    objective: Objective
    space: Space
    trials: Path
    cohorts: Path
    search: SearchSettings = field(default_factory=SearchSettings)
    seed: int = 0

    @property
    def measure(self) -> bool:
        """Whether a cohort holds as many lanes as train fastest, up to its quota."""
        return self.search.cohort.lanes == "auto" and not self.search.deterministic

    @property
    def threads(self) -> int:
        """CPU threads that an estimator may use."""
        return max(1, int(self.search.resources.cpu))
