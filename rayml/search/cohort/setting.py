"""What the lanes of a cohort share besides their structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayml.search.cohort.plan import CohortPlan, SweepData
from rayml.search.cohort.worker import require_objective
from rayml.tasks.task import Task
from rayml.train.build import build_trial_task, choose_device, train_settings
from rayml.train.folds.batches import FoldBatches
from rayml.train.folds.lanes import FoldLoop
from rayml.train.lanes.lane import NewLane
from rayml.train.lanes.lanes import LaneLoop
from rayml.train.loop.batches import ArrayBatches
from rayml.train.loop.class_weights import weighed
from rayml.train.speed.process import reset_process
from rayml.types import Examples


@dataclass(frozen=True)
class Setting:
    """The task and the splits, as batches.

    Attributes:
        task: gives loss and metrics.
        train: the training split.
        validation: the validation split; None where there are folds.
        folds: of the training rows.
    """

    task: Task
    train: ArrayBatches
    validation: ArrayBatches | None
    folds: FoldBatches | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any], plan: CohortPlan, data: SweepData) -> Setting:
        """That of a cohort whose first trial has a config; the process is made ready for it.

        Raises:
            ConfigError: a part of the config is wrong, or asks for a GPU that is absent.
            SearchError: it optimises something else than the sweep.
        """
        settings = train_settings(config["train"])
        reset_process(settings, deterministic=plan.search.deterministic)
        device = choose_device(settings.device)
        train, validation = data.train, data.validation
        assert isinstance(train, Examples)
        assert isinstance(validation, Examples)
        task = weighed(build_trial_task(config["task"], data.target), settings, train)
        require_objective(task, plan)
        if data.folds is not None:
            batches = FoldBatches(
                train, data.folds, settings.batch_size, device, stretch=settings.stretch
            )
            return cls(task, batches.whole, None, batches)
        return cls(
            task,
            ArrayBatches(train, settings.batch_size, device, stretch=settings.stretch),
            ArrayBatches(validation, settings.eval_batch_size, device),
        )

    @property
    def models(self) -> int:
        """Number of models that a trial trains: one, or one a fold."""
        return 1 if self.folds is None else self.folds.count

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.train.steps if self.folds is None else self.folds.steps

    def loop(self, lanes: Sequence[NewLane]) -> LaneLoop | FoldLoop:
        """The training loop of some trials."""
        if self.folds is not None:
            return FoldLoop(lanes, self.task, self.folds)
        assert self.validation is not None
        return LaneLoop(lanes, self.task, self.train, self.validation)
