"""What other sweeps and earlier spaces tell a sampler, and what they do not."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from rayml.errors import SearchError
from rayml.search.problem.prior_trials import PriorTrials, Ranks
from rayml.search.sampling.history_sampler import HistorySampler
from rayml.search.sampling.warm_start import read_history
from rayml.search.space.space import Space
from rayml.search.study.study import Study
from rayml.settings.search import PrunerSettings, SamplerSettings
from tests.search.conftest import TREE
from tests.search.plans import report, study_plan, tell

SPACE = Space.parse(TREE)
FLOATS = st.floats(-1e6, 1e6)


@pytest.fixture
def sweep(tmp_path: Path, config: dict[str, Any]) -> Callable[..., Path]:
    """Runs a study whose trials of a width have given curves; returns its folder."""

    def run(name: str, curves: list[list[float]], **changes: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        plan: dict[str, Any] = {
            "name": name,
            "journal": folder / "journal.log",
            "space": Space.parse(changes.pop("tree", TREE)),
            "trial": config,
            "metric": "accuracy",
            "direction": "maximize",
            "trials": 50,
            "max_epochs": 9,
            "sampler": SamplerSettings(name="random"),
            "pruner": PrunerSettings(name="none"),
            "started": time.time(),
        }
        study = Study(study_plan(**(plan | changes)))
        for trial, values in zip(study.ask(len(curves)), curves, strict=True):
            for step, value in enumerate(values, start=1):
                report(study, trial.number, step, value, {})
            if len(values) == 2:
                tell(study, trial.number, "COMPLETE", max(values))
            else:
                tell(study, trial.number, "PRUNED", reason="x")
        study.close()
        return folder

    return run


Sweep = Callable[..., Path]


def read(folders: list[Path], config: dict[str, Any], tree: Any = None) -> PriorTrials:
    space = SPACE if tree is None else Space.parse(tree)
    return read_history(folders, space, config, "accuracy", "maximize")


def test_the_best_are_suggested_and_all_are_told_by_rank(
    sweep: Sweep, config: dict[str, Any]
) -> None:
    folder = sweep("a", [[0.1, 30.0], [0.2, 90.0], [0.3], [0.1, 60.0], [0.05]])
    history = read([folder], config)
    ranks = {trial.state: [] for trial in history.trials}
    for trial in history.trials:
        assert trial.number < 0
        ranks[trial.state].append(trial.values[0])
    assert sorted(ranks[TrialState.COMPLETE]) == pytest.approx([1 / 6, 1 / 2, 5 / 6])
    assert sorted(ranks[TrialState.PRUNED]) == pytest.approx([0.1, 0.9])
    best = optuna.load_study(study_name="a", storage=_storage(folder)).best_params
    assert history.suggestions[0] == best
    assert len(history.suggestions) == 3


def _storage(folder: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(folder / "journal.log")))


def test_the_best_of_several_sweeps_take_turns(sweep: Sweep, config: dict[str, Any]) -> None:
    one = sweep("a", [[0.1, 0.2], [0.1, 0.3]], seed=1)
    two = sweep("b", [[50.0, 70.0], [50.0, 60.0]], seed=2)
    history = read([one, two], config)
    best = [
        optuna.load_study(study_name=f.name, storage=_storage(f)).best_params for f in (one, two)
    ]
    assert list(history.suggestions[:2]) == best


def test_what_a_sweep_did_not_search_has_the_value_of_the_config(
    sweep: Sweep, config: dict[str, Any]
) -> None:
    dropout = {"type": "float", "low": 0.0, "high": 0.5}
    depth = {"type": "int", "low": 4, "high": 5}
    tree = {**TREE, "model": {**TREE["model"], "dropout": dropout, "depth": depth}}
    history = read([sweep("a", [[0.1, 0.2]] * 4)], config, tree)
    for trial in history.trials:
        assert trial.params["model.dropout"] == 0.1
        # The config's 2 is out of the range: any will do, but none is suggested.
        assert trial.params["model.depth"] in {4, 5}
    assert all("model.depth" not in each for each in history.suggestions)
    assert all(each["model.dropout"] == 0.1 for each in history.suggestions)


def test_trials_that_do_not_fit_are_left_out(sweep: Sweep, config: dict[str, Any]) -> None:
    folder = sweep("a", [[0.1, 0.2]] * 20)
    width = {"type": "int", "low": 48, "high": 64, "step": 16}
    history = read([folder], config, {**TREE, "model": {"width": width}})
    assert 0 < len(history.trials) < 20
    assert {trial.params["model.width"] for trial in history.trials} == {48, 64}
    with pytest.raises(SearchError, match="no finished trial of sweep a fits the space"):
        read([folder], config, {"model": {"depth": {"type": "int", "low": 1, "high": 3}}})


def test_another_objective_is_refused(sweep: Sweep, config: dict[str, Any]) -> None:
    folder = sweep("a", [[0.1, 0.2]], metric="rmse", direction="minimize")
    said = r"sweep a optimised rmse \(minimize\), and this one .* accuracy"
    with pytest.raises(SearchError, match=said):
        read([folder], config)


def test_a_warm_study_has_its_own_trials_alone(sweep: Sweep, config: dict[str, Any]) -> None:
    history = read([sweep("a", [[0.1, 90.0], [0.1, 80.0], [0.3]])], config)
    sampler = SamplerSettings(name="tpe", startup_trials=2)
    folder = sweep("b", [[0.1, 0.2]] * 6, history=history, sampler=sampler, trials=6)
    study = optuna.load_study(study_name="b", storage=_storage(folder))
    assert len(study.trials) == 6
    assert study.best_value == 0.2
    assert [each.params for each in study.trials[:2]] == list(history.suggestions)


@pytest.mark.parametrize("name", ["tpe", "gp", "cmaes", "qmc", "random"])
def test_every_sampler_takes_a_history(name: str, sweep: Sweep, config: dict[str, Any]) -> None:
    pytest.importorskip("cmaes")
    history = read([sweep("a", [[0.1, 0.1 * i] for i in range(1, 9)])], config)
    sampler = SamplerSettings(name=name, startup_trials=2)  # type: ignore[arg-type]
    folder = sweep("b", [[0.1, 0.2]] * 8, history=history, sampler=sampler)
    assert len(optuna.load_study(study_name="b", storage=_storage(folder)).trials) == 8


class Recorder(RandomSampler):
    """Remembers what it is shown."""

    def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
        self.shown = study.get_trials(deepcopy=False)
        self.finished = study._get_trials(
            deepcopy=False, states=(TrialState.COMPLETE,), use_cache=True
        )
        return super().sample_independent(study, trial, name, distribution)


def test_foreign_values_lie_on_the_studys_own_scale(sweep: Sweep, config: dict[str, Any]) -> None:
    history = read([sweep("a", [[0.1, 0.1 * i] for i in range(1, 6)])], config)
    recorder = Recorder(seed=0)
    study = optuna.create_study(sampler=HistorySampler(recorder, history), direction="maximize")
    for value in (700.0, 900.0, 800.0):
        trial = study.ask()
        SPACE.suggest(trial, config)
        study.tell(trial, value)
    SPACE.suggest(study.ask(), config)
    foreign = [trial.values[0] for trial in recorder.shown if trial.number < 0]
    assert len(foreign) == 5
    assert sorted(foreign) == pytest.approx([720, 760, 800, 840, 880])
    assert len(recorder.finished) == 8
    assert len(study.trials) == 4


def test_a_sampler_sees_of_earlier_spaces_what_fits(config: dict[str, Any]) -> None:
    recorder = Recorder(seed=0)
    study = optuna.create_study(direction="maximize")
    earlier = Space.parse({**TREE, "model": {"width": {"type": "int", "low": 8, "high": 64}}})
    for width in (16, 17, 48):
        study.enqueue_trial({"model.width": width})
        trial = study.ask()
        earlier.suggest(trial, config)
        study.tell(trial, 1.0)
    dropout = {"type": "float", "low": 0.0, "high": 0.5}
    space = Space.parse({**TREE, "model": {**TREE["model"], "dropout": dropout}})
    history = PriorTrials().over(space, config, study.trials)
    assert history.matters
    study.sampler = HistorySampler(recorder, history)
    space.suggest(study.ask(), config)
    shown = [trial for trial in recorder.shown if trial.state.is_finished()]
    assert [trial.params["model.width"] for trial in shown] == [16, 48]
    assert {trial.params["model.dropout"] for trial in shown} == {0.1}
    assert shown[0].distributions == space.distributions(shown[0].params)
    assert not PriorTrials().over(earlier, config, study.trials[:3]).matters


def test_a_key_that_is_not_searched_any_more_must_have_had_the_configs_value(
    config: dict[str, Any],
) -> None:
    study = optuna.create_study()
    depths = {**TREE, "model": {**TREE["model"], "depth": {"type": "int", "low": 1, "high": 3}}}
    for depth in (2, 3):
        study.enqueue_trial({"model.depth": depth})
        trial = study.ask()
        Space.parse(depths).suggest(trial, config)
        study.tell(trial, 1.0)
    refit = PriorTrials().over(SPACE, config, study.trials).refit
    assert refit is not None
    kept, left = (refit(trial) for trial in study.trials)
    assert kept is not None
    assert "model.depth" not in kept.params
    assert left is None


@given(st.lists(FLOATS, min_size=1), FLOATS, FLOATS)
def test_ranks_keep_the_order(values: list[float], one: float, other: float) -> None:
    ranks = Ranks(values)
    low, high = sorted([one, other])
    assert 0 <= ranks.rank(low) <= ranks.rank(high) <= 1


@given(st.lists(FLOATS, min_size=2), st.lists(st.floats(0, 1), min_size=2))
def test_a_foreign_rank_is_never_better_than_the_best(
    values: list[float], places: list[float]
) -> None:
    ranks = Ranks()
    for value in values:
        ranks.add(value)
    found = [ranks.value(place) for place in sorted(places)]
    tolerance = 1e-6 * (max(values) - min(values)) + 1e-9
    assert min(values) - tolerance <= found[0]
    assert found[-1] <= max(values) + tolerance
    assert all(b >= a - tolerance for a, b in pairwise(found))
