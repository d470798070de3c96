"""What a warm start saves: trials until a good value, with the history of another data set.

The objective is the LCBench surrogate (Zimmer et al. 2021; Pfisterer et al., YAHPO Gym, 2022):
validation accuracy of an MLP on an OpenML task, by seven hyperparameters, over 50 epochs. For
each pair of tasks a sweep of one is the history of a sweep of the other. A value is good if one
random trial in a hundred reaches it.

Prints, for each target, the median number of trials until a good value and the mean regret
after some trials, without and with the warm start, and the share of pairs in which it was faster.

    python tests/bench/warm_start_bench.py --data data/lcbench
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import optuna

from rayml.search.problem.prior_trials import PriorTrials
from rayml.search.sampling.warm_start import read_history
from rayml.search.space.space import Space
from rayml.search.study.study import Study
from rayml.settings.search import PrunerSettings, SamplerSettings
from tests.search.plans import report, study_plan, tell

TASKS = ("3945", "7593", "34539", "126025", "126026")
EPOCHS = 50
# In the order of the surrogate's columns, after the epoch.
TREE: dict[str, dict[str, Any]] = {
    "batch_size": {"type": "int", "low": 16, "high": 512, "log": True},
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    "momentum": {"type": "float", "low": 0.1, "high": 0.99},
    "weight_decay": {"type": "float", "low": 1e-5, "high": 1e-1},
    "num_layers": {"type": "int", "low": 1, "high": 5},
    "max_units": {"type": "int", "low": 64, "high": 1024, "log": True},
    "max_dropout": {"type": "float", "low": 0.0, "high": 1.0},
}
SPACE = Space.parse(TREE)
CONFIG = {key: leaf["low"] for key, leaf in TREE.items()}
_ACCURACY = 1  # column of the surrogate's output


@dataclass
class Surrogate:
    """LCBench as a function of a task and its hyperparameters."""

    folder: Path

    def __post_init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._model = onnxruntime.InferenceSession(str(self.folder / "model.onnx"), options)
        self._codes = json.loads((self.folder / "encoding.json").read_text())["OpenML_task_id"]

    def accuracy(self, task: str, points: list[Mapping[str, Any]], epoch: int = EPOCHS) -> Any:
        """Validation accuracy after an epoch, one a point."""
        rows = [[epoch, *(point[key] for key in TREE)] for point in points]
        codes = np.full((len(rows), 1), self._codes[task], np.int32)
        inputs = {"x_cat": codes, "x_cont": np.array(rows, np.float32)}
        return self._model.run(None, inputs)[0][:, _ACCURACY].astype(float)


def sweep(
    surrogate: Surrogate, task: str, trials: int, seed: int, folder: Path, history: PriorTrials
) -> list[float]:
    """Values of a sweep's trials, in order."""
    folder.mkdir(parents=True)
    study = Study(
        study_plan(
            name="s",
            journal=folder / "journal.log",
            space=SPACE,
            trial=CONFIG,
            metric="accuracy",
            direction="maximize",
            trials=trials,
            max_epochs=1,
            started=time.time(),
            sampler=SamplerSettings(name="tpe"),
            pruner=PrunerSettings(name="none"),
            seed=seed,
            history=history,
        )
    )
    values = []
    while asked := study.ask():
        value = float(surrogate.accuracy(task, [asked[0].params])[0])
        report(study, asked[0].number, 1, value, {})
        tell(study, asked[0].number, "COMPLETE", value)
        values.append(value)
    study.close()
    return values


def random_values(surrogate: Surrogate, task: str, count: int) -> Any:
    """Sorted values of random points of the space."""
    sampler = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    points = [SPACE.suggest(sampler.ask(), CONFIG) for _ in range(count)]
    return np.sort(surrogate.accuracy(task, points))


def trials_until(values: list[float], good: float) -> int:
    """Trials until a value was good; one more than there were, if none was."""
    return next((i for i, value in enumerate(values, start=1) if value >= good), len(values) + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of LCBench")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=30, help="of a target's sweep")
    parser.add_argument("--source-trials", type=int, default=50)
    parser.add_argument("--random", type=int, default=5_000, help="points that tell what is good")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    surrogate = Surrogate(arguments.data)
    with tempfile.TemporaryDirectory() as temporary:
        compare(surrogate, arguments, Path(temporary))


def compare(surrogate: Surrogate, arguments: argparse.Namespace, folder: Path) -> None:
    """Run all pairs of tasks and print what they needed."""
    faster: list[float] = []
    for task in TASKS:
        for seed in range(arguments.seeds):
            place = folder / f"source-{task}-{seed}"
            sweep(surrogate, task, arguments.source_trials, seed, place, PriorTrials())
    for target in TASKS:
        random = random_values(surrogate, target, arguments.random)
        good, best, middle = np.quantile(random, 0.99), random[-1], np.median(random)
        cold: list[list[float]] = []
        warm: list[list[float]] = []
        for seed in range(arguments.seeds):
            begun = 1000 + seed
            place = folder / f"cold-{target}-{seed}"
            cold.append(sweep(surrogate, target, arguments.trials, begun, place, PriorTrials()))
            for source in TASKS:
                if source == target:
                    continue
                history = read_history(
                    [folder / f"source-{source}-{seed}"], SPACE, CONFIG, "accuracy", "maximize"
                )
                place = folder / f"warm-{target}-{source}-{seed}"
                warm.append(sweep(surrogate, target, arguments.trials, begun, place, history))
                one, other = trials_until(warm[-1], good), trials_until(cold[-1], good)
                faster.append(1.0 if one < other else 0.5 if one == other else 0.0)
        print(f"target {target}: good is {good:.3f}")
        for name, runs in (("cold", cold), ("warm", warm)):
            needed = statistics.median(trials_until(run, good) for run in runs)
            regrets = [
                np.mean([(best - max(run[:n])) / (best - middle) for run in runs])
                for n in (5, 10, 20, arguments.trials)
            ]
            shown = ", ".join(f"{regret:.3f}" for regret in regrets)
            print(f"  {name}: {needed:g} trials; regret after 5, 10, 20, all: {shown}", flush=True)
    print(f"warm was faster in {np.mean(faster):.0%} of the pairs (ties count half)")


if __name__ == "__main__":
    main()
