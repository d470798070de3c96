"""Which of a winner's seeds to serve: the best on validation, the median, or all of them.

    python tests/bench/seed_choice_bench.py [--splits 24] [--seeds 5]

Trains an MLP over several seeds on random splits of scikit-learn's data sets, and prints what each
choice promised on validation and kept on the test split. Needs no Ray.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import datasets

from rayml.models.estimators.members import Committee, ModuleMember
from rayml.search.results.choice import middle_seeds
from rayml.tasks.table import outputs_of
from rayml.tasks.task import Task
from rayml.train.build import build_model, build_trial_task
from rayml.train.loop.batches import ArrayBatches
from rayml.train.loop.evaluate import evaluate
from rayml.train.seed_results import SeedResult
from rayml.train.seeds import train_seeds
from rayml.types import Examples, Features, FeatureShape, TargetInfo, TaskName

SETS: Mapping[str, tuple[Any, TaskName]] = {
    "breast_cancer": (datasets.load_breast_cancer, "binary"),
    "digits": (datasets.load_digits, "multiclass"),
    "diabetes": (datasets.load_diabetes, "regression"),
}
CONFIG = {
    "model": {"_target_": "rayml.models.nets.mlp.MLP", "width": 64, "depth": 2, "dropout": 0.2},
    "task": {"metric": None, "metrics": {}},
    "train": {"epochs": 15, "batch_size": 64, "optimizer": {"lr": 3e-3}, "seed": 0},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    for name, (load, task) in SETS.items():
        x, y = load(return_X_y=True)
        rows = [_split(x, y, task, number, options.seeds) for number in range(options.splits)]
        best, median, mean, ensemble, promised_best, promised_median = np.mean(rows, axis=0)
        gains = np.array([row[0] - row[1] for row in rows])
        print(
            f"{name}: test of the best seed {best:.4f} (validation {promised_best:.4f}),"
            f" of the median {median:.4f} ({promised_median:.4f}), mean {mean:.4f},"
            f" ensemble {ensemble:.4f}; best minus median {gains.mean():+.4f}"
            f" +- {gains.std() / len(gains) ** 0.5:.4f}",
            flush=True,
        )


def _split(
    x: npt.NDArray[Any], y: npt.NDArray[Any], task: TaskName, number: int, count: int
) -> tuple[float, ...]:
    parts = _parts(len(x), number)
    target = _target(y, y[parts[0]], task)
    train, validation, test = (_examples(x, y, part, parts[0], target) for part in parts)
    shape = FeatureShape(x.shape[1])
    used: Task = build_trial_task(CONFIG["task"], target)
    seeds = range(count * number + 1, count * (number + 1) + 1)
    results = {
        result.seed: result
        for result in train_seeds(
            CONFIG, seeds, train=train, validation=validation, shape=shape, target=target
        )
        if isinstance(result, SeedResult)
    }
    promised = [results[seed].best.value for seed in seeds]
    ranked = middle_seeds(seeds, promised, used.direction, count)
    (median,) = middle_seeds(seeds, promised, used.direction)
    models = {}
    for seed, result in results.items():
        models[seed] = build_model(CONFIG["model"], shape=shape, outputs=outputs_of(target))
        models[seed].load_state_dict(dict(result.weights))
    members = [ModuleMember(each, outputs_of(target), len(test)) for each in models.values()]
    batches = ArrayBatches(test, len(test))
    kept = {seed: evaluate(model, used, batches)[used.metric] for seed, model in models.items()}
    return (
        kept[ranked[0]],
        kept[median],
        float(np.mean(list(kept.values()))),
        Committee(members).measure(used, test)[used.metric],
        results[ranked[0]].best.value,
        results[median].best.value,
    )


def _parts(rows: int, number: int) -> list[npt.NDArray[Any]]:
    order = np.random.default_rng(number).permutation(rows)
    return np.split(order, [int(0.6 * rows), int(0.8 * rows)])


def _target(y: npt.NDArray[Any], seen: npt.NDArray[Any], task: TaskName) -> TargetInfo:
    if task == "regression":
        return TargetInfo("y", task, mean=float(seen.mean()), scale=float(seen.std()))
    return TargetInfo("y", task, tuple(str(label) for label in np.unique(y)))


def _examples(
    x: npt.NDArray[Any],
    y: npt.NDArray[Any],
    part: npt.NDArray[Any],
    train: npt.NDArray[Any],
    target: TargetInfo,
) -> Examples:
    standard = (x[part] - x[train].mean(0)) / (x[train].std(0) + 1e-9)
    features = Features(standard.astype(np.float32), np.zeros((len(part), 0), np.int64))
    if target.task == "regression":
        return Examples(features, ((y[part] - target.mean) / target.scale).astype(np.float32))
    return Examples(features, y[part].astype(np.int64))


if __name__ == "__main__":
    main()
