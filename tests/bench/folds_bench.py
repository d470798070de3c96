"""What K folds of a trial cost beside one trial with a validation split, on one core.

Both train on the same rows, of which a fifth is left out as a test split: the plain trial on three
quarters of the others, validating on a quarter, alone as a sweep of one lane trains it; the folded
one on all of them, its folds as lanes, or one after another where the model has no lanes. They run
in pairs, an epoch of each in turn, so that what else the machine does hits both; the ratio is the
median over the pairs.

    OMP_NUM_THREADS=1 python tests/bench/folds_bench.py [--rows 10000] [--columns 10] [--pairs 15]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from rayml.data.split.folds import deal_by_hash
from rayml.train.build import build_lane, build_loop, build_trial_task
from rayml.train.folds.batches import FoldBatches
from rayml.train.folds.lanes import FoldLoop
from rayml.types import Examples, Features, FeatureShape, TargetInfo

TARGET = TargetInfo("y", "binary", ("no", "yes"))
MLP = "rayml.models.nets.mlp.MLP"
MODELS: dict[str, dict[str, Any]] = {
    "MLP 64 x 2": {"_target_": MLP, "width": 64, "depth": 2, "dropout": 0.1},
    "MLP 128 x 2 (default)": {"_target_": MLP, "width": 128, "depth": 2, "dropout": 0.1},
    "MLP 256 x 2": {"_target_": MLP, "width": 256, "depth": 2, "dropout": 0.1},
    "LightGBM (no lanes)": {"_target_": "rayml.models.trees.lightgbm.LightGBM"},
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--columns", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{arguments.rows:,} rows, {arguments.columns} columns; milliseconds of CPU an epoch")
    print(
        f"{'model':24} {'folds':>5} {'one trial':>10} {'K folds':>10} {'ratio':>6}  range of ratios"
    )
    for name, model in MODELS.items():
        for folds in (3, 5):
            plain, folded = _loops(model, folds, arguments.rows * 4 // 5, arguments.columns)
            pairs = [(_seconds(plain), _seconds(folded)) for _ in range(arguments.pairs + 1)][1:]
            ratios = sorted(other / one for one, other in pairs)
            one, other = (1000 * statistics.median(each) for each in zip(*pairs, strict=True))
            print(
                f"{name:24} {folds:5} {one:10.1f} {other:10.1f} {statistics.median(ratios):6.2f}"
                f"  {ratios[0]:.2f} to {ratios[-1]:.2f}"
            )


def _loops(
    model: dict[str, Any], folds: int, rows: int, columns: int
) -> tuple[Callable[[], object], Callable[[], object]]:
    """An epoch of a trial with a validation split, and one of a trial with folds."""
    draw = np.random.default_rng(0)
    numeric = draw.standard_normal((rows, columns)).astype(np.float32)
    target = (numeric[:, 0] + draw.standard_normal(rows) > 0).astype(np.int64)
    examples = Examples(Features(numeric, np.zeros((rows, 0), np.int64)), target)
    shape = FeatureShape(columns)
    config = {
        "model": model,
        "task": {"name": "binary", "metric": None, "metrics": {}},
        "train": {"epochs": 10_000, "batch_size": 256},
    }
    middle = rows * 3 // 4
    plain = build_loop(
        config,
        train=examples.rows(np.arange(middle)),
        validation=examples.rows(np.arange(middle, rows)),
        shape=shape,
        target=TARGET,
    )
    keys = draw.permutation(rows).astype(np.uint64)
    dealt = deal_by_hash(np.zeros(rows, np.uint64), keys, folds, divide=True)
    if model["_target_"] == MLP:
        lane = build_lane(0, config, shape=shape, target=TARGET, folds=folds)
        task = build_trial_task(config["task"], TARGET)
        return plain.run_epoch, FoldLoop([lane], task, FoldBatches(examples, dealt, 256)).run_epoch
    alone = build_loop(
        config,
        train=examples,
        validation=examples.rows(np.empty(0, np.int64)),
        shape=shape,
        target=TARGET,
        folds=dealt,
    )
    return plain.run_epoch, alone.run_epoch


def _seconds(run: Callable[[], object]) -> float:
    """Seconds of a core, which other processes lengthen less than those of a clock."""
    start = time.process_time()
    run()
    return time.process_time() - start


if __name__ == "__main__":
    main()
