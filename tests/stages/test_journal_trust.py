"""What a sweep that goes on takes from its own journal."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from rayml.config.compose import compose
from rayml.errors import BuildError
from rayml.search.journal.optuna_study import SUGGESTIONS
from rayml.search.journal.trial_record import DESCENTS
from rayml.search.problem.sweep_plan import JOURNAL
from rayml.stages.context import Context
from rayml.stages.sweep import run_search

RUNNING = TrialState.RUNNING


TOLD = '{"m": {"_target_": "os.system", "command": "id"}}'


def hostile_journal(path: Path, place: str) -> None:
    """A study that would train a trial with a component of its own choice."""
    storage = JournalStorage(JournalFileBackend(str(path)))
    study = optuna.create_study(study_name="old", storage=storage)
    params = {"task.metrics": TOLD}
    space = {"task.metrics": CategoricalDistribution(["{}", TOLD])}
    if place == "running":
        study.add_trial(create_trial(state=RUNNING, params=params, distributions=space))
    elif place == "suggested":
        storage.set_study_system_attr(study._study_id, SUGGESTIONS, [params])
    else:
        study.add_trial(create_trial(state=RUNNING))
        descent = {"epoch": 1, "from": 0, "params": params}
        storage.set_trial_system_attr(0, DESCENTS, [descent])


@pytest.mark.parametrize("place", ["running", "suggested", "descended"])
def test_a_journal_names_no_component_that_is_not_trusted(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    hostile_journal(folder / JOURNAL, place)
    composed = compose(["data=wine", f"paths.sweeps={tmp_path}", "search.name=old"])
    context = Context(composed, resumed=folder)
    with pytest.raises(BuildError, match=r"component as the value of task\.metrics"):
        run_search(context, None)  # type: ignore[arg-type]
