"""What a trial of LightGBM costs beside LightGBM itself, and what it scores on published splits.

    python tests/bench/trees_bench.py FOLDER [--pairs 5] [--threads 1]

FOLDER is that of `embeddings_bench.py`. In turns the same rows train a trial of rayml, from its
arrays to the files of its best round, and `lightgbm.train` with the same settings, as many trees
and the same metric of the validation split after each. The test split is read for the scores that
are printed and for nothing else. Needs no Ray.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import torch

from rayml.models.estimators.files import as_files
from rayml.models.estimators.members import Committee, EstimatorMember
from rayml.models.trees.lightgbm import LightGBM
from rayml.models.trees.matrix import TreeColumns
from rayml.models.trees.objective import objective_of
from rayml.settings.train import TrainSettings
from rayml.tasks.table import build_task
from rayml.tasks.task import Task
from rayml.train.loop.estimator_loop import EstimatorLoop
from tests.bench.embeddings_bench import SETS, Data, prepare

SETTINGS: dict[str, Any] = {"bagging_fraction": 0.8, "feature_fraction": 0.8}
METRIC = {"binary": "binary_error", "regression": "rmse"}


def by_rayml(data: Data, task: Task, seed: int, threads: int) -> tuple[float, int, float]:
    """Seconds of a trial, its trees, and its test score."""
    shape, (train, validation, test) = data.preprocessor.shape, data.splits
    settings = TrainSettings(epochs=200, patience=10, seed=seed, threads=threads)
    start = time.perf_counter()
    loop = EstimatorLoop(
        LightGBM(shape, task.outputs, **SETTINGS), task, train, validation, settings
    )
    steps = 0
    while not loop.finished:
        steps += loop.run_epoch().steps
    weights = loop.best_weights()
    seconds = time.perf_counter() - start
    best = LightGBM(shape, task.outputs, **SETTINGS)
    best.load(as_files(weights))
    scores = Committee([EstimatorMember(best, task.outputs)]).measure(task, test)
    return seconds, steps, scores[task.metric]


def by_itself(data: Data, task: Task, seed: int, threads: int, trees: int) -> tuple[float, float]:
    """Seconds of `lightgbm.train`, and its test score at its best tree."""
    train, validation, test = data.splits
    parameters = {
        **SETTINGS,
        **objective_of(task).parameters,
        "metric": METRIC[task.name],
        "learning_rate": 0.05,
        "bagging_freq": 1,
        "seed": seed,
        "num_threads": threads,
        "verbosity": -1,
    }
    columns = TreeColumns(data.preprocessor.shape, "filled")
    start = time.perf_counter()
    rows = lightgbm.Dataset(
        columns.matrix(train.features), train.target, categorical_feature=columns.codes
    )
    held = lightgbm.Dataset(columns.matrix(validation.features), validation.target, reference=rows)
    quiet = lightgbm.early_stopping(trees, verbose=False)
    booster = lightgbm.train(parameters, rows, trees, valid_sets=[held], callbacks=[quiet])
    booster.model_to_string(num_iteration=booster.best_iteration)
    seconds = time.perf_counter() - start
    found = np.asarray(booster.predict(columns.matrix(test.features), raw_score=True))
    outputs = torch.from_numpy(found.astype(np.float32)).reshape(len(test), -1)
    return seconds, task.evaluate(outputs, torch.from_numpy(test.target))[task.metric]


def row_micros(data: Data, task: Task, threads: int) -> tuple[float, int]:
    """Median µs of predicting one row, and the number of trees."""
    train, validation, test = data.splits
    estimator = LightGBM(data.preprocessor.shape, task.outputs, **SETTINGS)
    fitted = estimator.fit(train, validation, task=task, settings=TrainSettings(threads=threads))
    trees = sum(next(fitted).steps for _ in range(25))
    again = LightGBM(data.preprocessor.shape, task.outputs, **SETTINGS)
    again.load(estimator.save())
    rows = test.features
    one = type(rows)(rows.numeric[:1], rows.categorical[:1])
    times = []
    for _ in range(500):
        start = time.perf_counter()
        again.predict(one)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6, trees


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    for name in SETS:
        data = prepare(name, asked.folder, "standard")
        task = build_task(data.preprocessor.target)
        ratios, ours, theirs = [], [], []
        for seed in range(asked.pairs):
            seconds, trees, score = by_rayml(data, task, seed, asked.threads)
            plain, other = by_itself(data, task, seed, asked.threads, trees)
            ratios.append(seconds / plain)
            ours.append(score)
            theirs.append(other)
            print(
                f"{name} seed {seed}: {trees} trees, rayml {seconds:.2f} s {score:.4f},"
                f" lightgbm {plain:.2f} s {other:.4f}, ratio {ratios[-1]:.2f}",
                flush=True,
            )
        micros, trees = row_micros(data, task, asked.threads)
        print(
            f"{name}: ratio {statistics.median(ratios):.2f}, {task.metric} on test"
            f" {statistics.mean(ours):.4f} beside {statistics.mean(theirs):.4f};"
            f" one row through {trees} trees {micros:.0f} µs"
        )


if __name__ == "__main__":
    main()
