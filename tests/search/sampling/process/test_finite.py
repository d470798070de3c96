"""In finite spaces proposals are new, soon good, and cost the same after many trials."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import optuna
import pytest

from rayml.search.sampling.process.process import Process
from rayml.search.sampling.tpe import BoundedTPESampler
from rayml.search.space.space import Space

SIZES = (5, 4, 4, 6, 3)
TREE = {
    f"k{i}": {"type": "categorical", "choices": [f"c{j}" for j in range(size)]}
    for i, size in enumerate(SIZES)
}
SPACE = Space.parse(TREE)


def table(seed: int) -> np.ndarray:
    """Effects of each choice and of each pair of choices, added up."""
    rng = np.random.default_rng(seed)
    values = np.zeros(SIZES)
    for axes in itertools.chain(*(itertools.combinations(range(5), n) for n in (1, 2))):
        shape = [size if axis in axes else 1 for axis, size in enumerate(SIZES)]
        values += rng.normal(size=shape)
    return values


def ask(study: optuna.Study, space: Space = SPACE) -> tuple[optuna.Trial, dict[str, Any]]:
    trial = study.ask()
    return trial, dict(space.suggest(trial, {}))


def value(values: np.ndarray, params: dict[str, Any]) -> float:
    return float(values[tuple(int(params[key][1:]) for key in TREE)])


def regret(sampler: optuna.samplers.BaseSampler, seed: int, trials: int, at_once: int) -> float:
    """0 for the best point of a table, 1 for the median one."""
    values, study = table(seed), optuna.create_study(sampler=sampler)
    found = []
    for _ in range(trials // at_once):
        batch = [ask(study) for _ in range(at_once)]
        for trial, params in batch:
            found.append(value(values, params))
            study.tell(trial, found[-1])
    return float((min(found) - values.min()) / (np.median(values) - values.min()))


@pytest.mark.parametrize("at_once", [1, 8])
def test_it_is_better_than_optuna_s_on_choices_that_interact(at_once: int) -> None:
    ours = [regret(BoundedTPESampler(seed=seed), seed, 48, at_once) for seed in range(6)]
    theirs = [regret(optuna.samplers.TPESampler(seed=seed), seed, 48, at_once) for seed in range(6)]
    assert np.mean(ours) < 0.7 * np.mean(theirs)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_nothing_is_tried_twice_until_all_is_tried(direction: str) -> None:
    space = Space.parse(
        {
            "a": {"type": "categorical", "choices": ["x", None, 3]},
            "b": {"type": "int", "low": 1, "high": 5},
            "c": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.25},
        }
    )
    study = optuna.create_study(sampler=BoundedTPESampler(seed=0), direction=direction)
    tried = set()
    running: list[tuple[optuna.Trial, dict[str, Any]]] = []
    # A start-up trial may meet a point by chance, and the study then asks anew.
    start = 10
    for number in range(40):
        trial, params = ask(study, space)
        point = tuple(params.items())
        assert number < start or point not in tried
        tried.add(point)
        running.append((trial, params))
        if number % 3 == 2:
            for other, its in running:
                study.tell(other, its["b"] + its["c"])
            running = []


def test_known_values_are_kept_and_the_others_suit_them() -> None:
    values = table(0)
    study = optuna.create_study(sampler=BoundedTPESampler(seed=0))
    for _ in range(60):
        trial, params = ask(study)
        study.tell(trial, value(values, params))
    tried = {tuple(each.params.values()) for each in study.trials}
    for choice in range(5):
        study.enqueue_trial({"k0": f"c{choice}"})
        trial, params = ask(study)
        assert params["k0"] == f"c{choice}"
        assert tuple(params.values()) not in tried
        slice_ = values[choice]
        assert value(values, params) < np.quantile(slice_, 0.25)


def test_a_large_space_is_searched_too() -> None:
    tree = {f"k{i}": {"type": "int", "low": 0, "high": 9} for i in range(8)}
    space = Space.parse(tree)
    study = optuna.create_study(sampler=BoundedTPESampler(seed=0))
    for _ in range(80):
        trial, params = ask(study, space)
        study.tell(trial, sum(abs(number - 3) for number in params.values()))
    # Of a random hundred the best is at 10 or more.
    assert study.best_value <= 3


def test_a_proposal_knows_a_bounded_number_of_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    fitted = Process.fitted.__func__  # type: ignore[attr-defined]

    def watched(cls: Any, choices: Any, points: Any, scores: Any) -> Any:
        sizes.append(len(points))
        return fitted(cls, choices, points, scores)

    monkeypatch.setattr(Process, "fitted", classmethod(watched))
    study = optuna.create_study(sampler=BoundedTPESampler(seed=0))
    distributions = {each.key: each.distribution for each in SPACE.parameters}
    rng = np.random.default_rng(0)
    for _ in range(600):
        params = {f"k{i}": f"c{rng.integers(size)}" for i, size in enumerate(SIZES)}
        study.add_trial(
            optuna.trial.create_trial(
                params=params, distributions=distributions, value=float(rng.random())
            )
        )
    for _ in range(4):
        ask(study)
    # Trials that are asked at once share what was computed.
    assert len(sizes) == 1
    assert 100 <= sizes[0] <= 128


def test_a_space_with_a_range_is_left_to_the_densities(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> Any:
        raise AssertionError("a process was fitted")

    monkeypatch.setattr(Process, "fitted", refused)
    space = Space.parse({**TREE, "x": {"type": "float", "low": 0.0, "high": 1.0}})
    study = optuna.create_study(sampler=BoundedTPESampler(seed=0))
    for _ in range(14):
        trial, params = ask(study, space)
        study.tell(trial, params["x"])
