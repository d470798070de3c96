"""The peer of the sweep benchmark: plain Ray Tune with OptunaSearch and ASHA.

Run as `python tune_asha.py ARRAYS.npz TRIALS EPOCHS FORM` and prints one line of JSON. FORM is
`documented`, as Ray's guides write such a script, or `tuned`: workers reused between trials, no
result loggers, one thread a trial, as many concurrent trials as there are cores. Architecture,
features, space, loss and schedule are those of rayml's own sweep.
"""

from __future__ import annotations

import json
import math
import os
import sys
from typing import Any

import numpy as np

TUNED = sys.argv[4] == "tuned"
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
if TUNED:
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"

import ray  # noqa: E402 - reads the environment when it is imported
from ray import tune  # noqa: E402
from ray.tune.schedulers import ASHAScheduler  # noqa: E402
from ray.tune.search.optuna import OptunaSearch  # noqa: E402

SPACE = {
    "width": tune.choice([64, 128, 256]),
    "depth": tune.randint(1, 4),
    "dropout": tune.uniform(0.0, 0.5),
    "batch_size": tune.choice([128, 256, 512]),
    "label_smoothing": tune.uniform(0.0, 0.1),
    "lr": tune.loguniform(3e-4, 1e-2),
    "weight_decay": tune.loguniform(1e-4, 1.0),
}


def train(config: dict[str, Any], arrays: str, epochs: int, threads: int | None) -> None:
    """Train one trial, reporting each epoch's validation accuracy."""
    import torch
    import torch.nn.functional as F  # noqa: N812

    from rayml.models.mlp import MLP
    from rayml.types import FeatureShape

    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    data = {name: torch.from_numpy(value) for name, value in np.load(arrays).items()}
    shape = FeatureShape(data["train_numeric"].shape[1], tuple(data["cardinalities"].tolist()))
    model = MLP(shape, 1, width=config["width"], depth=config["depth"], dropout=config["dropout"])
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config["lr"], weight_decay=config["weight_decay"]
    )
    rows, size = len(data["train_target"]), config["batch_size"]
    total = epochs * math.ceil(rows / size)
    warmup = 0.05 * total

    def rate(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    smoothing = config["label_smoothing"]
    for _ in range(epochs):
        model.train()
        for index in torch.randperm(rows).split(size):
            target = data["train_target"][index].float() * (1 - smoothing) + smoothing / 2
            logits = model(data["train_numeric"][index], data["train_categorical"][index])
            loss = F.binary_cross_entropy_with_logits(logits.squeeze(-1), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.inference_mode():
            logits = model(data["validation_numeric"], data["validation_categorical"])
            hits = (logits.squeeze(-1) > 0) == (data["validation_target"] > 0)
        tune.report({"accuracy": hits.float().mean().item()})


def main() -> None:
    """Run the sweep and print its best value."""
    arrays, trials, epochs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    trainable = tune.with_parameters(
        train, arrays=arrays, epochs=epochs, threads=1 if TUNED else None
    )
    tuner = tune.Tuner(
        trainable,
        param_space=SPACE,
        tune_config=tune.TuneConfig(
            metric="accuracy",
            mode="max",
            num_samples=trials,
            search_alg=OptunaSearch(seed=0),
            scheduler=ASHAScheduler(max_t=epochs, grace_period=1, reduction_factor=3),
            max_concurrent_trials=os.cpu_count() if TUNED else None,
            reuse_actors=TUNED,
        ),
        run_config=tune.RunConfig(verbose=0),
    )
    best = max(result.metrics["accuracy"] for result in tuner.fit() if result.metrics)
    sys.stdout.write("\n" + json.dumps({"best": best, "trials": trials}) + "\n")


if __name__ == "__main__":
    main()
