"""The Ray actor that hosts the study while a sweep runs."""

from __future__ import annotations

import time
from typing import Any

import optuna
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rayml.errors import SearchError
from rayml.search.problem.study_plan import StudyPlan
from rayml.search.study.study import Study
from rayml.search.study.turn_order import RoundRobin

NAMESPACE = "rayml"
_PATIENCE = 15.0
_POLL = 0.2


class _HostedStudy(Study):
    """A study in an actor, which takes no CPU of the trials' budget.

    Calls run one at a time: Optuna's samplers and the pruning tables are not made for threads.
    All but a model-based proposal take well under a millisecond.
    """

    def __init__(self, plan: StudyPlan, resume: bool) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        again = ray.get_runtime_context().was_current_actor_reconstructed
        super().__init__(
            plan,
            resume=resume or (again and plan.journal.exists()),
            order=None if plan.slots is None else RoundRobin(plan.slots),
        )


# A study whose process died is opened anew from its journal, and calls that were not answered
# are made again: each of them, made twice, does what it does once.
StudyActor: Any = ray.remote(num_cpus=0, max_concurrency=1, max_restarts=-1, max_task_retries=-1)(
    _HostedStudy
)


def start_study(plan: StudyPlan, *, resume: bool = False) -> Any:
    """Start the study's actor, named `study-<sweep>`, without waiting for it.

    It runs on the driver's node, where its journal is.

    Args:
        plan: of the study.
        resume: go on with the plan's journal.

    Raises:
        SearchError: a sweep of that name keeps running on the cluster.
    """
    here = ray.get_runtime_context().get_node_id()
    actor = StudyActor.options(
        name=f"study-{plan.name}",
        namespace=NAMESPACE,
        scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False),
    )
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return actor.remote(plan, resume)
        except ValueError as error:
            if "already taken" not in str(error):
                raise
            if time.monotonic() >= deadline:
                raise SearchError(
                    f"a sweep named {plan.name} runs on this cluster",
                    remedy="Choose another search.name, or wait until it has ended",
                ) from error
        # The study of a killed driver ends some seconds after it.
        time.sleep(_POLL)
