"""Sweeps without training: a surrogate drives the study as workers would."""

from __future__ import annotations

import json
import math
import random
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from rayml.search.results.leaderboard import rank_trials
from rayml.search.results.record import Searched, SweepRecord
from rayml.search.study.study import Study
from tests.search.plans import report, tell

# Conditional parameters, logarithmic and stepped ranges, choices of several types.
TREE: dict[str, Any] = {
    "model": {
        "width": {"type": "int", "low": 16, "high": 256, "log": True},
        "depth": {"type": "int", "low": 1, "high": 4},
        "dropout": {"type": "float", "low": 0.0, "high": 0.5},
        "norm": {"type": "categorical", "choices": ["layer", "batch", None, True]},
    },
    "train": {
        "optimizer": {
            "name": {"type": "categorical", "choices": ["adamw", "sgd"]},
            "lr": {"type": "float", "low": 1e-4, "high": 0.3, "log": True},
            "momentum": {
                "type": "float",
                "low": 0.5,
                "high": 0.99,
                "when": {"train.optimizer.name": "sgd"},
            },
        },
        "batch_size": {"type": "categorical", "choices": [64, 128, 256, 512]},
    },
}


def accuracy(params: Mapping[str, Any], epoch: int, noise: float) -> float:
    """A learning curve that depends on the learning rate most, and a little on the rest."""
    sgd = params.get("train.optimizer.name") == "sgd"
    best_lr = -1.2 if sgd else -2.6
    off = abs(math.log10(params["train.optimizer.lr"]) - best_lr)
    width = math.log2(params.get("model.width", 64)) / 8
    top = 0.80 + 0.10 * math.exp(-(off**2)) + 0.02 * width - 0.03 * params.get("model.dropout", 0)
    rate = 0.35 + 0.5 * math.exp(-off)
    return top - 0.35 * math.exp(-rate * epoch) + noise


def run_trials(study: Study, count: int, *, epochs: int = 9, seed: int = 0) -> None:
    """Ask, report and tell trials as a sweep of two workers would, failures among them."""
    random_ = random.Random(seed)
    for first in range(0, count, 2):
        for asked in study.ask(min(2, count - first), tune_trial=f"t{first % 4}"):
            run_trial(study, asked.number, asked.params, epochs, random_)


def run_trial(
    study: Study, number: int, params: Mapping[str, Any], epochs: int, random_: random.Random
) -> None:
    if number % 29 == 11:
        tell(study, number, "FAIL", reason="DivergedError: the loss is nan after step 7")
        return
    best = -math.inf
    for epoch in range(1, epochs + 1):
        value = accuracy(params, epoch, random_.gauss(0, 0.004))
        best = max(best, value)
        metrics = {"accuracy": value, "loss": 1 - value, "train_loss": 0.9 - value}
        decision = report(study, number, epoch, value, metrics)
        if decision.action == "prune" and epoch < epochs:
            tell(study, number, "PRUNED", reason=decision.reason)
            return
    tell(study, number, "COMPLETE", best)


def write_surroundings(folder: Path, tree: Mapping[str, Any] = TREE) -> None:
    """The other files of a sweep's folder, as a sweep that is over leaves them."""
    from rayml.search.space.space import Space

    (folder / "space.json").write_text(json.dumps(Space.parse(tree).tree()))
    timings = {"first_epoch": 6.4, "total": 41.7, "train": 47.2, "eval": 9.9, "idle": 11.3}
    (folder / "timings.json").write_text(json.dumps(timings))
    (folder / "config.yaml").write_text(
        "name: adult\nsearch:\n  trials: 64\n  sampler: {name: tpe}\n  pruner: {name: asha}\n"
        "data:\n  source: {url: 'postgresql://me:hunter2@host/db', api_key: hunter3}\n"
    )


CONFIRMED = {
    "metric": "accuracy",
    "direction": "maximize",
    "winner": 54,
    "reason": "Trial 54 has the highest mean; its interval lies above that of trial 7.",
    "seeds": [0, 1, 2],
    "candidates": [
        {
            "number": 7,
            "params": {"model.width": 64},
            "parameters": 12_345,
            "steps": 3000,
            "seconds": 2.5,
            "values": [0.901, 0.904, 0.898],
            "mean": 0.901,
            "low": 0.8985,
            "high": 0.9035,
        },
        {
            "number": 54,
            "params": {"model.width": 128},
            "parameters": 45_678,
            "steps": 3000,
            "seconds": 4.25,
            "values": [0.912, 0.915, 0.91],
            "mean": 0.9123,
            "low": 0.9105,
            "high": 0.9145,
        },
    ],
    "failed": [{"number": 9, "params": {}, "reason": "DivergedError: the loss is nan"}],
    "seed": 0,
    "ensemble": [0, 2],
    "test": {"accuracy": 0.9087, "auroc": None},
}

HOSTILE = (
    "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=1>",
    "<a href='javascript:window.pwned=1'>x</a><b>bold</b>",
    "{{ 7*7 }} %{x} ${window.pwned=1} \u2028 &lt;i&gt;",
)


def hostile_tree() -> dict[str, Any]:
    """A space whose keys and choices would be code, were they not text."""
    return {
        "model": {
            "<img src=x onerror=window.pwned=1>": {
                "type": "categorical",
                "choices": [*HOSTILE, None, 1, "1"],
            },
            "width": {"type": "int", "low": 1, "high": 64},
        }
    }


def run_hostile(study: Study, count: int = 40) -> None:
    """Trials whose reasons would be code, too."""
    for asked in study.ask(count):
        if asked.number % 5 == 4:
            tell(study, asked.number, "FAIL", reason=HOSTILE[asked.number % 3])
            continue
        value = 0.5 + asked.params["model.width"] / 200
        report(study, asked.number, 1, value, {"accuracy": value})
        if asked.number % 5 == 3:
            tell(study, asked.number, "PRUNED", reason=HOSTILE[asked.number % 3])
        else:
            tell(study, asked.number, "COMPLETE", value)


def many(count: int, epochs: int = 9) -> optuna.Study:
    """A study in memory, which is faster to fill than a journal."""
    study = optuna.create_study(direction="maximize")
    study.set_user_attr("metric", "accuracy")
    random_ = random.Random(0)
    lr = FloatDistribution(1e-4, 1e-1, log=True)
    start = datetime(2026, 1, 1)
    trials = []
    for number in range(count):
        params = {"train.optimizer.lr": 10 ** random_.uniform(-4, -1)}
        pruned = number % 4 > 0
        curve = {
            epoch: accuracy(params, epoch, random_.gauss(0, 0.004))
            for epoch in range(1, 2 if pruned else epochs + 1)
        }
        trial = optuna.create_trial(
            state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
            value=None if pruned else max(curve.values()),
            params=params,
            distributions={"train.optimizer.lr": lr},
            intermediate_values=curve,
        )
        trial.datetime_start = start + timedelta(seconds=number)
        trial.datetime_complete = start + timedelta(seconds=number + 5)
        trials.append(trial)
    study.add_trials(trials)
    return study


def record_of(study: optuna.Study, **more: Any) -> SweepRecord:
    """What a page shows of a study in memory."""
    found = {key: each for trial in study.trials for key, each in trial.distributions.items()}
    parts: dict[str, Any] = {
        "name": "s",
        "study": study,
        "board": rank_trials(study),
        "searched": [Searched(key, each, {}) for key, each in found.items()],
        "timings": None,
        "confirmation": None,
        "config": None,
    }
    return SweepRecord(**(parts | more))


def study_of(*names: str, directions: Sequence[str], **bounds: float) -> optuna.Study:
    """An empty study of several objectives, with upper bounds of some metrics."""
    study = optuna.create_study(directions=list(directions))
    study.set_user_attr("metric", names[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(list(names))
    if bounds:
        study.set_user_attr("constraints", {name: {"max": most} for name, most in bounds.items()})
    return study


def add_trial(
    study: optuna.Study,
    metrics: Mapping[str, float],
    params: Mapping[str, Any] | None = None,
    space: Mapping[str, BaseDistribution] | None = None,
    state: TrialState = TrialState.COMPLETE,
) -> None:
    """A trial of one epoch, recorded as a sweep records it."""
    names = study.metric_names or []
    attributes: dict[str, Any] = {"epoch:1": dict(metrics)}
    if bounds := study.user_attrs.get("constraints"):
        attributes["constraints"] = [metrics[k] - bound["max"] for k, bound in bounds.items()]
    study.add_trial(
        optuna.create_trial(
            state=state,
            values=[metrics[name] for name in names] if state == TrialState.COMPLETE else None,
            params=dict(params or {}),
            distributions=dict(space or {}),
            intermediate_values={1: metrics[names[0]]},
            system_attrs=attributes,
        )
    )


def two_objectives(count: int = 60) -> optuna.Study:
    """Accuracy against size, where more than 2,600 parameters are too many; some are pruned."""
    study = study_of(
        "accuracy", "parameters", directions=["maximize", "minimize"], parameters=2600.0
    )
    random_ = random.Random(1)
    space: dict[str, BaseDistribution] = {
        "model.width": IntDistribution(16, 256, log=True),
        "train.optimizer.lr": FloatDistribution(1e-4, 1e-1, log=True),
    }
    for number in range(count):
        params = {
            "model.width": round(16 * 16 ** random_.random()),
            "train.optimizer.lr": 10 ** random_.uniform(-4, -1),
        }
        value = accuracy(params, 9, random_.gauss(0, 0.004))
        metrics = {"accuracy": value, "parameters": params["model.width"] * 65.0}
        state = TrialState.PRUNED if number % 3 == 2 else TrialState.COMPLETE
        add_trial(study, metrics, params, space, state)
    return study
