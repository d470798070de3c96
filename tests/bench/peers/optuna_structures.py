"""A peer of the structures benchmark: Optuna alone on a regression, two trials at a time.

Run as `python optuna_structures.py ARRAYS.npz TRIALS EPOCHS SEED` and prints one line of JSON.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import torch

from rayml.models.nets.mlp import MLP
from rayml.types import FeatureShape

WIDTHS, BATCHES = [64, 128, 256], [128, 256, 512]


def main() -> None:
    """Run the search and print its best value and its structures."""
    arrays, trials, epochs, seed = sys.argv[1], *map(int, sys.argv[2:5])
    torch.set_num_threads(1)
    data = {name: torch.from_numpy(value) for name, value in np.load(arrays).items()}
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: optuna.Trial) -> float:
        config = {
            "width": trial.suggest_categorical("width", WIDTHS),
            "depth": trial.suggest_int("depth", 1, 3),
            "dropout": trial.suggest_float("dropout", 0.0, 0.5),
            "batch_size": trial.suggest_categorical("batch_size", BATCHES),
            "lr": trial.suggest_float("lr", 3e-4, 1e-2, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-4, 1.0, log=True),
        }
        values: list[float] = []

        def report(epoch: int, value: float) -> None:
            values.append(value)
            trial.report(value, epoch)
            if epoch < epochs and trial.should_prune():
                raise optuna.TrialPruned

        train(config, data, epochs, report)
        return min(values)

    study = optuna.create_study(
        direction="minimize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(
            min_resource=1, reduction_factor=4, min_early_stopping_rate=0
        ),
    )
    study.optimize(objective, n_trials=trials, n_jobs=2)
    keys = ("width", "depth", "batch_size")
    structures = {tuple(trial.params[key] for key in keys) for trial in study.trials}
    # As a sweep's best trial: that of its best epoch, also of a trial that was pruned.
    best = min(min(trial.intermediate_values.values()) for trial in study.trials)
    sys.stdout.write("\n" + json.dumps({"best": best, "structures": len(structures)}) + "\n")


def train(
    config: dict[str, Any],
    data: dict[str, Any],
    epochs: int,
    report: Callable[[int, float], None],
) -> None:
    """Train a trial, reporting each epoch's root mean squared error in the target's unit."""
    torch.manual_seed(0)
    numeric, target = data["train_numeric"], data["train_target"].float()
    shape = FeatureShape(numeric.shape[1], tuple(data["cardinalities"].tolist()))
    model = MLP(shape, 1, width=config["width"], depth=config["depth"], dropout=config["dropout"])
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config["lr"], weight_decay=config["weight_decay"]
    )
    rows, size = len(target), config["batch_size"]
    total = epochs * math.ceil(rows / size)
    warmup = 0.05 * total

    def rate(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    for epoch in range(1, epochs + 1):
        model.train()
        for index in torch.randperm(rows).split(size):
            outputs = model(numeric[index], data["train_categorical"][index])
            loss = (outputs.squeeze(-1) - target[index]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.inference_mode():
            outputs = model(data["validation_numeric"], data["validation_categorical"])
            errors = outputs.squeeze(-1).double() - data["validation_target"].double()
        report(epoch, errors.square().mean().sqrt().item() * float(data["scale"]))


if __name__ == "__main__":
    main()
