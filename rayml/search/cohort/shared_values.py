"""Which of a trial's searched values its cohort shares, found out by building models."""

from __future__ import annotations

from typing import Any

import ray
from torch import nn

from rayml.search.cohort.plan import CohortPlan, SweepData
from rayml.search.cohort.worker import Refusal, attempt, trial_of
from rayml.search.space.parameter import Params, Scalar
from rayml.tasks.table import outputs_of
from rayml.train.build import build_model, is_estimator
from rayml.train.families import FAMILY_KEY
from rayml.train.lanes.structure import structural_values


def shared_values(params: Params, plan: CohortPlan, data: SweepData) -> Params:
    """The searched values that a trial shares with its cohort, see `structural_values`.

    Args:
        params: of the trial.
        plan: of the sweep.
        data: of the sweep.
    """
    family: dict[str, Scalar] = {k: v for k, v in params.items() if k == FAMILY_KEY}
    if is_estimator(trial_of(params, plan)["model"]):
        return family  # its trials train one after another, whatever their values

    def build(values: Params) -> nn.Module:
        config = trial_of(values, plan)
        outputs = outputs_of(data.target)
        return build_model(config["model"], shape=data.shape, outputs=outputs)

    alternatives = {each.key: each.extremes() for each in plan.space.parameters}
    # A model of another family has another structure, and may be no module.
    own = {key: value for key, value in params.items() if key != FAMILY_KEY}
    return family | structural_values(own, alternatives, lambda values: build({**family, **values}))


def classify(params: Params, plan: CohortPlan, data: SweepData, study: Any) -> None:
    """Tell the study which keys of a trial its cohort shares.

    Where that cannot be found out, the trial fails with the error when it is built.

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
