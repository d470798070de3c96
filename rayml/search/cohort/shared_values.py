"""Which of a trial's searched values its cohort shares, found out by building models."""

from __future__ import annotations

from typing import Any

import ray
from torch import nn

from rayml.search.cohort.plan import CohortPlan, SweepData
from rayml.search.cohort.worker import Refusal, attempt, trial_of
from rayml.search.space.parameter import Params
from rayml.tasks.table import outputs_of
from rayml.train.lanes.structure import structural_values
from rayml.train.trial import build_model


def shared_values(params: Params, plan: CohortPlan, data: SweepData) -> Params:
    """The searched values that a trial shares with its cohort, see `structural_values`.

    Args:
        params: of the trial.
        plan: of the sweep.
        data: of the sweep.
    """

    def build(values: Params) -> nn.Module:
        config = trial_of(values, plan)
        outputs = outputs_of(data.target)
        return build_model(config["model"], shape=data.shape, outputs=outputs)

    alternatives = {each.key: each.extremes() for each in plan.space.parameters}
    return structural_values(params, alternatives, build)


def classify(params: Params, plan: CohortPlan, data: SweepData, study: Any) -> None:
    """Tell the study which keys of a trial its cohort shares.

    Nothing is told where that cannot be found out: the trial fails with the error when it is built.

    Args:
        params: of the trial.
        plan: of the sweep.
        data: of the sweep.
        study: handle of the study's actor.

    Raises:
        RayError: the study does not answer.
    """
    shared = attempt(lambda: shared_values(params, plan, data))
    if not isinstance(shared, Refusal):
        ray.get(study.classify.remote({key: key in shared for key in params}))
