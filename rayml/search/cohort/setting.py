"""What the lanes of a cohort share besides their structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayml.search.cohort.plan import CohortPlan, SweepData
from rayml.search.cohort.worker import require_objective
from rayml.tasks.task import Task
from rayml.train.lanes.lane import NewLane
from rayml.train.lanes.lanes import LaneLoop
from rayml.train.loop.batches import ArrayBatches
from rayml.train.speed.process import reset_process
from rayml.train.trial import build_trial_task, choose_device, train_settings
from rayml.types import Examples


@dataclass(frozen=True)
class Setting:
    """The task and the splits, as batches."""

    task: Task
    train: ArrayBatches
    validation: ArrayBatches

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
        task = build_trial_task(config["task"], data.target)
        require_objective(task, plan)
        train, validation = data.train, data.validation
        assert isinstance(train, Examples)
        assert isinstance(validation, Examples)
        return cls(
            task,
            ArrayBatches(train, settings.batch_size, device),
            ArrayBatches(validation, settings.eval_batch_size, device),
        )

    def loop(self, lanes: Sequence[NewLane]) -> LaneLoop:
        """The training loop of some lanes."""
        return LaneLoop(lanes, self.task, self.train, self.validation)
