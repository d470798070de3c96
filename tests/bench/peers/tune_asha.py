"""A peer of the sweep benchmark: plain Ray Tune with OptunaSearch and ASHA.

Run as `python tune_asha.py ARRAYS.npz TRIALS EPOCHS BATCH FORM` and prints one line of JSON. FORM
is `documented`, as Ray's guides write such a script, or `tuned`: workers reused between trials, no
result loggers, one thread a trial, as many concurrent trials as there are cores. Architecture,
features, space, loss and schedule are those of rayml's own sweep.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

TUNED = sys.argv[5] == "tuned"
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
if TUNED:
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"

import ray  # noqa: E402 - reads the environment when it is imported
from ray import tune  # noqa: E402
from ray.tune.schedulers import ASHAScheduler  # noqa: E402
from ray.tune.search.optuna import OptunaSearch  # noqa: E402

HERE = str(Path(__file__).parent)


def space(batch: int) -> dict[str, Any]:
    """The searched values."""
    return {
        "width": tune.choice([64, 128]),
        "depth": tune.randint(1, 4),
        "dropout": tune.uniform(0.0, 0.5),
        "label_smoothing": tune.uniform(0.0, 0.1),
        "lr": tune.loguniform(3e-4, 1e-2),
        "weight_decay": tune.loguniform(1e-4, 1.0),
        "batch_size": batch,
    }


def trial(config: dict[str, Any], arrays: str, epochs: int, threads: int | None) -> None:
    """The trainable."""
    import torch

    sys.path.insert(0, HERE)
    from adult_trial import load, train

    if threads:
        torch.set_num_threads(threads)
    train(config, load(arrays), epochs, lambda _, value: tune.report({"accuracy": value}))


def main() -> None:
    """Run the sweep and print its best value."""
    arrays, trials, epochs, batch = sys.argv[1], *map(int, sys.argv[2:5])
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    trainable = tune.with_parameters(
        trial, arrays=arrays, epochs=epochs, threads=1 if TUNED else None
    )
    tuner = tune.Tuner(
        trainable,
        param_space=space(batch),
        tune_config=tune.TuneConfig(
            metric="accuracy",
            mode="max",
            num_samples=trials,
            search_alg=OptunaSearch(seed=0),
            scheduler=ASHAScheduler(max_t=epochs, grace_period=1, reduction_factor=4),
            max_concurrent_trials=os.cpu_count() if TUNED else None,
            reuse_actors=TUNED,
        ),
        run_config=tune.RunConfig(verbose=0),
    )
    best = max(result.metrics["accuracy"] for result in tuner.fit() if result.metrics)
    sys.stdout.write("\n" + json.dumps({"best": best, "trials": trials}) + "\n")


if __name__ == "__main__":
    main()
