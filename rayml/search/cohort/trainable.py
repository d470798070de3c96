"""What runs in a Ray Tune trial: a cohort of the study's trials.

Ray Tune places this function, gives it its worker, which later cohorts use again, and starts
it anew when that worker dies. The driver imports this module, so it loads no PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError, RayTaskError

from rayml.errors import StorageError
from rayml.search.cohort.plan import CohortPlan, Opening, SweepData
from rayml.search.problem.trials import AskedTrial, Ended
from rayml.train.blame import explain


def train_cohort(
    config: Mapping[str, Any], *, plan: CohortPlan, data: SweepData, study: Any
) -> None:
    """Train the trials that the searcher asked for, and further ones; the Ray Tune trainable.

    Where a disk takes no more the study halts, so that its trials are left to a resumed sweep.

    Args:
        config: of the Tune trial: the cohort's number, and under `trials` its first trials.
        plan: of the sweep.
        data: of the sweep, its arrays in shared memory.
        study: handle of the study's actor.

    Raises:
        RayError: the study does not answer, which no trial can mend.
        OSError: a checkpoint cannot be written.
    """
    from rayml.search.cohort.cohort import Cohort

    cohort, _ = asked_cohort(config)
    # Trials of an earlier worker are among them, and not those that it finished.
    opening: Opening = ray.get(study.opening.remote(cohort))
    tune_trial = tune.get_context().get_trial_id()
    training = Cohort(cohort, plan, data, study, tune_trial, opening.quota)
    try:
        training.run(opening.trials, classified=opening.classified)
    except StorageError as error:
        ray.get(study.halt.remote(str(error)))
    except RayTaskError as error:
        if not isinstance(error.cause, StorageError):
            raise
        # The study has halted by itself.
    except (RayError, OSError):
        raise  # of the place, which another worker may not have
    except Exception as error:  # noqa: BLE001 - a new worker would meet it once more
        left: list[AskedTrial] = ray.get(study.lanes.remote(cohort))
        ended = [Ended(each.number, "FAIL", explain(error)) for each in left]
        ray.get(study.tell.remote(ended))
    training.leave()


def cohort_config(cohort: int, trials: Sequence[AskedTrial]) -> dict[str, Any]:
    """The Tune config of a cohort."""
    return {
        "cohort": cohort,
        "trials": [{"number": each.number, "params": dict(each.params)} for each in trials],
    }


def asked_cohort(config: Mapping[str, Any]) -> tuple[int, list[AskedTrial]]:
    """The inverse of `cohort_config`."""
    asked = [AskedTrial(each["number"], each["params"]) for each in config["trials"]]
    return config["cohort"], asked
