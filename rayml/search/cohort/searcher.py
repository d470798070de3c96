"""Between Ray Tune and the study: the cohort to train next, and workers that died."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray
from ray.tune.experiment import Trial
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.search import Searcher

from rayml.errors import StorageError
from rayml.search.cohort.trainable import asked_cohort, cohort_config
from rayml.search.problem.trials import Ended

_FAILURE = "Failure # "


class StudySearcher(Searcher):  # type: ignore[misc]  # Ray has no types
    """Gives each Ray Tune trial a cohort that the study proposes.

    Args:
        study: handle of the study's actor.
    """

    def __init__(self, study: Any) -> None:
        super().__init__()
        self._study = study

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next cohort, those that a dead driver left first; the end once a budget is spent.

        None makes Tune ask again.
        """
        # Its worker asks for the others, once it knows what they must share.
        given = ray.get(self._study.next_cohort.remote(tune_trial=trial_id))
        if given is None:
            return None
        cohort, asked = given
        return cohort_config(cohort, asked) if asked else Searcher.FINISHED

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing to do: workers report to the study; for those that died see `WorkerDeaths`."""

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing: the study's journal is the record, and Tune's is never read."""

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing: see `save`."""


class WorkerDeaths(TrialProgressCallback):  # type: ignore[misc]  # Ray has no types
    """Reports trials whose worker died to the study.

    It stands in for the callback that Tune would add, which prints a line for each trial even
    when `verbose` is 0.

    Args:
        study: handle of the study's actor.
    """

    def __init__(self, study: Any) -> None:
        super().__init__()
        self._study = study

    def on_trial_complete(self, **info: Any) -> None:
        """Nothing to do: the worker reports to the study."""

    def on_trial_error(
        self,
        iteration: int,  # noqa: ARG002 - Tune names its arguments
        trials: list[Trial],  # noqa: ARG002
        trial: Trial,
        **info: Any,  # noqa: ARG002
    ) -> None:
        """The restarts are spent: what the cohort did not finish has failed."""
        reason = _died(Path(trial.error_file).read_text() if trial.error_file else "")
        cohort, _ = asked_cohort(trial.config)
        left = ray.get(self._study.lanes.remote(cohort))
        ended = [Ended(asked.number, "FAIL", reason) for asked in left]
        try:
            ray.get(self._study.tell.remote(ended))
        except StorageError:
            return  # the disk is full: the study halts, and a resumed sweep goes on with them
        ray.get(self._study.leave.remote(cohort))


def _died(error: str) -> str:
    """One line of the text in which Tune collects the failures of a trial."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    if not lines:
        return "its worker died"
    # Ray goes on with advice for all cases.
    last = lines[-1].partition(" Some common causes")[0]
    return f"its worker died, {error.count(_FAILURE)} in all: {last}"
