"""A peer of the sweep benchmarks: Optuna alone, two trials at a time in one process.

Run as `python optuna_alone.py ARRAYS.npz TRIALS EPOCHS SPACE SEED`, where SPACE is JSON such as
`{"widths": [64, 128], "batches": [128]}`. Prints `value V` after each epoch of a trial, and at the
end one line of JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import optuna
import torch

sys.path.insert(0, str(Path(__file__).parent))
from plain_trial import is_regression, load, say, train


def main() -> None:
    """Run the search and print its best value."""
    arrays, trials, epochs, seed = sys.argv[1], *(int(sys.argv[place]) for place in (2, 3, 5))
    space = json.loads(sys.argv[4])
    torch.set_num_threads(1)
    data = load(arrays)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    regression = is_regression(data)
    better = min if regression else max

    def objective(trial: optuna.Trial) -> float:
        config = {
            "width": trial.suggest_categorical("width", space["widths"]),
            "depth": trial.suggest_int("depth", 1, 3),
            "dropout": trial.suggest_float("dropout", 0.0, 0.5),
            "batch_size": trial.suggest_categorical("batch_size", space["batches"]),
            "lr": trial.suggest_float("lr", 3e-4, 1e-2, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-4, 1.0, log=True),
        }
        if not regression:
            config["label_smoothing"] = trial.suggest_float("label_smoothing", 0.0, 0.1)
        values: list[float] = []

        def report(epoch: int, value: float) -> None:
            values.append(value)
            say(value)
            trial.report(value, epoch)
            if epoch < epochs and trial.should_prune():
                raise optuna.TrialPruned

        train(config, data, epochs, report)
        return better(values)

    study = optuna.create_study(
        direction="minimize" if regression else "maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(
            min_resource=1, reduction_factor=4, min_early_stopping_rate=0
        ),
    )
    study.optimize(objective, n_trials=trials, n_jobs=2)
    # As a sweep's trials: the value of the best epoch, also of one that was pruned.
    values = [better(each.intermediate_values.values()) for each in study.trials]
    keys = ("width", "depth", "batch_size")
    found = {
        "best": better(values),
        "values": values,
        "structures": len({tuple(each.params[key] for key in keys) for each in study.trials}),
    }
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
