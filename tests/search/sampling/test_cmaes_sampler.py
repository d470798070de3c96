"""CMA-ES goes on from JSON as it does from Optuna's pickle."""

from __future__ import annotations

import json
import warnings
from typing import Any

import optuna
import pytest

from rayml.search.sampling.cmaes_sampler import PlainCmaEsSampler

pytest.importorskip("cmaes")


def search(sampler: optuna.samplers.BaseSampler, trials: int = 40) -> optuna.Study:
    study = optuna.create_study(sampler=sampler)

    def value(trial: optuna.Trial) -> float:
        x, y = (trial.suggest_float(name, -5, 5) for name in ("x", "y"))
        return (x - 1) ** 2 + 10 * (y - x) ** 2

    study.optimize(value, n_trials=trials)
    return study


@pytest.mark.parametrize("separable", [False, True])
def test_it_proposes_what_optunas_does(separable: bool) -> None:
    options: dict[str, Any] = {
        "seed": 3,
        "n_startup_trials": 5,
        "popsize": 6,
        "use_separable_cma": separable,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        ours, theirs = PlainCmaEsSampler(**options), optuna.samplers.CmaEsSampler(**options)
    mine, other = search(ours), search(theirs)
    assert [each.params for each in mine.trials] == [
        pytest.approx(each.params) for each in other.trials
    ]
    assert any("cma:optimizer:0" in name for each in mine.trials for name in each.system_attrs)


def test_what_it_stores_is_json() -> None:
    study = search(PlainCmaEsSampler(seed=3, n_startup_trials=5, popsize=6))
    states = []
    for trial in study.trials:
        parts = {k: v for k, v in trial.system_attrs.items() if k.startswith("cma:optimizer:")}
        if parts:
            states.append(
                json.loads("".join(parts[f"cma:optimizer:{i}"] for i in range(len(parts))))
            )
    assert len(states) > 3
    assert [state["_g"] for state in states] == list(range(1, len(states) + 1))
