"""A peer of the sweep benchmarks: plain Ray Tune with OptunaSearch and ASHA.

Run as `python tune_asha.py ARRAYS.npz TRIALS EPOCHS SPACE SEED FORM`, where SPACE is JSON such as
`{"widths": [64, 128], "batches": [128]}`. Prints `value V` after each epoch of a trial, and at the
end one line of JSON. FORM is `documented`, as Ray's guides write such a script, or `tuned`: workers
reused between trials, no result loggers, one thread a trial, as many concurrent trials as there are
cores. Architecture, features, space, loss and schedule are those of rayml's own sweep.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

TUNED = sys.argv[6] == "tuned"
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
if TUNED:
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"

import ray  # noqa: E402 - reads the environment when it is imported
from ray import tune  # noqa: E402
from ray.tune.schedulers import ASHAScheduler  # noqa: E402
from ray.tune.search.optuna import OptunaSearch  # noqa: E402

HERE = str(Path(__file__).parent)
sys.path.insert(0, HERE)
from plain_trial import is_regression, say  # noqa: E402


def space_of(choices: dict[str, Any], *, regression: bool) -> dict[str, Any]:
    """The searched values."""
    smoothing = {} if regression else {"label_smoothing": tune.uniform(0.0, 0.1)}
    return {
        "width": tune.choice(choices["widths"]),
        "depth": tune.randint(1, 4),
        "dropout": tune.uniform(0.0, 0.5),
        "batch_size": tune.choice(choices["batches"]),
        "lr": tune.loguniform(3e-4, 1e-2),
        "weight_decay": tune.loguniform(1e-4, 1.0),
        **smoothing,
    }


def trial(config: dict[str, Any], arrays: str, epochs: int, threads: int | None) -> None:
    """The trainable."""
    import torch

    sys.path.insert(0, HERE)
    from plain_trial import load, train

    if threads:
        torch.set_num_threads(threads)
    train(config, load(arrays), epochs, lambda _, value: tune.report({"metric": value}))


class Says(tune.Callback):  # type: ignore[misc]  # Ray has no types
    """Lets the benchmark know each value."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = {}

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        """A trial has a value."""
        del iteration, trials
        self.values.setdefault(trial.trial_id, []).append(result["metric"])
        say(result["metric"])


def main() -> None:
    """Run the sweep and print its best value."""
    arrays, trials, epochs, seed = sys.argv[1], *(int(sys.argv[place]) for place in (2, 3, 5))
    regression = is_regression(np.load(arrays))
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    trainable = tune.with_parameters(
        trial, arrays=arrays, epochs=epochs, threads=1 if TUNED else None
    )
    says = Says()
    tuner = tune.Tuner(
        trainable,
        param_space=space_of(json.loads(sys.argv[4]), regression=regression),
        tune_config=tune.TuneConfig(
            metric="metric",
            mode="min" if regression else "max",
            num_samples=trials,
            search_alg=OptunaSearch(seed=seed),
            scheduler=ASHAScheduler(max_t=epochs, grace_period=1, reduction_factor=4),
            max_concurrent_trials=os.cpu_count() if TUNED else None,
            reuse_actors=TUNED,
        ),
        run_config=tune.RunConfig(verbose=0, callbacks=[says]),
    )
    results = tuner.fit()
    better = min if regression else max
    values = [better(each) for each in says.values.values()]
    keys = ("width", "depth", "batch_size")
    structures = {tuple(each.config[key] for key in keys) for each in results if each.config}
    found = {"best": better(values), "values": values, "structures": len(structures)}
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
