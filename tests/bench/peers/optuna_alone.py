"""A peer of the sweep benchmark: Optuna alone, two trials at a time in one process.

Run as `python optuna_alone.py ARRAYS.npz TRIALS EPOCHS BATCH` and prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import optuna
import torch

sys.path.insert(0, str(Path(__file__).parent))
from adult_trial import load, train


def main() -> None:
    """Run the search and print its best value."""
    arrays, trials, epochs, batch = sys.argv[1], *map(int, sys.argv[2:5])
    torch.set_num_threads(1)
    data = load(arrays)
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: optuna.Trial) -> float:
        config = {
            "width": trial.suggest_categorical("width", [64, 128]),
            "depth": trial.suggest_int("depth", 1, 3),
            "dropout": trial.suggest_float("dropout", 0.0, 0.5),
            "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.1),
            "lr": trial.suggest_float("lr", 3e-4, 1e-2, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-4, 1.0, log=True),
            "batch_size": batch,
        }
        values: list[float] = []

        def report(epoch: int, value: float) -> None:
            values.append(value)
            trial.report(value, epoch)
            if epoch < epochs and trial.should_prune():
                raise optuna.TrialPruned

        train(config, data, epochs, report)
        return max(values)

    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=0),
        pruner=optuna.pruners.SuccessiveHalvingPruner(
            min_resource=1, reduction_factor=4, min_early_stopping_rate=0
        ),
    )
    study.optimize(objective, n_trials=trials, n_jobs=2)
    sys.stdout.write("\n" + json.dumps({"best": study.best_value, "trials": trials}) + "\n")


if __name__ == "__main__":
    main()
