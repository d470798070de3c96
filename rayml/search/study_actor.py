"""The Ray actor that hosts the study while a sweep runs."""

from __future__ import annotations

from typing import Any

import optuna
import ray

from rayml.search.study import Study, StudyPlan

NAMESPACE = "rayml"


class _HostedStudy(Study):
    """A study that workers and driver share.

    It takes no CPU of the trials' budget. Calls run one at a time: Optuna's samplers and the
    pruning tables are not made for threads, and a call takes well under a millisecond, but for
    a model-based proposal.
    """

    def __init__(self, plan: StudyPlan) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        super().__init__(plan)


StudyActor: Any = ray.remote(num_cpus=0, max_concurrency=1)(_HostedStudy)


def start_study(plan: StudyPlan) -> Any:
    """Start the study's actor, named `study-<sweep>`, without waiting for it."""
    return StudyActor.options(name=f"study-{plan.name}", namespace=NAMESPACE).remote(plan)
