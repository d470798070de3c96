"""Wall-clock of a sweep over Adult, beside plain Ray Tune with OptunaSearch and ASHA.

    python tests/bench/sweep_bench.py [--data FOLDER] [--trials 30] [--epochs 10] [--rounds 1]

The same space, trials, epochs, features and architecture; each side in a fresh process, its
start and that of its Ray included. The data are prepared beforehand for both. The sides take
turns, `rounds` times, and medians are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from rayml.data.prepare import open_prepared
from rayml.search.report.leaderboard import read_leaderboard

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run all sides and print their seconds, best values and ratios."""
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        arrays = _prepare(home, options)
        sides = {
            "rayml": lambda number: _rayml(home, options, number),
            "Ray Tune, documented": lambda _: _tune(arrays, options, "documented"),
            "Ray Tune, tuned": lambda _: _tune(arrays, options, "tuned"),
        }
        runs: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
        for number in range(options.rounds):
            for side, measure in sides.items():
                runs[side].append(measure(number))
                seconds, best = runs[side][-1]
                print(f"round {number + 1}: {side}: {seconds:.1f} s, best {best:.4f}", flush=True)
    own = statistics.median(seconds for seconds, _ in runs["rayml"])
    print(f"\n{options.trials} trials of up to {options.epochs} epochs on Adult")
    print(f"{'':<22}{'seconds':>9}{'ratio':>8}{'best validation accuracy':>27}")
    for side, measured in runs.items():
        seconds = statistics.median(each for each, _ in measured)
        best = max(value for _, value in measured)
        print(f"{side:<22}{seconds:>9.1f}{seconds / own:>8.2f}{best:>27.4f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("RAYML_DATA", "data"))
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    return parser.parse_args()


def _command(home: Path, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "RAYML_HOME": str(home / "runs")}
    command = [sys.executable, "-m", "rayml", verb, "data=adult", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


def _prepare(home: Path, options: argparse.Namespace) -> Path:
    _command(home, "prepare", f"paths.data={options.data}")
    (folder,) = (home / "runs" / "prepared").iterdir()
    prepared = open_prepared(folder)
    arrays = {"cardinalities": np.array(prepared.preprocessor.shape.cardinalities)}
    for split in ("train", "validation"):
        examples = prepared.examples(split)
        arrays[f"{split}_numeric"] = examples.features.numeric
        arrays[f"{split}_categorical"] = examples.features.categorical
        arrays[f"{split}_target"] = examples.target
    np.savez(home / "adult.npz", **arrays)
    return home / "adult.npz"


def _rayml(home: Path, options: argparse.Namespace, number: int) -> tuple[float, float]:
    name = f"bench-{number}"
    start = time.perf_counter()
    _command(
        home,
        "sweep",
        f"paths.data={options.data}",
        f"search.trials={options.trials}",
        f"train.epochs={options.epochs}",
        f"search.name={name}",
        # The peers confirm nothing.
        "confirm=none",
    )
    seconds = time.perf_counter() - start
    best = read_leaderboard(home / "runs" / "sweeps" / name).rows[0].value
    assert best is not None
    return seconds, best


def _tune(arrays: Path, options: argparse.Namespace, form: str) -> tuple[float, float]:
    script = HERE / "peers" / "tune_asha.py"
    words = [str(arrays), str(options.trials), str(options.epochs), form]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(script), *words], capture_output=True, text=True, check=True
    )
    seconds = time.perf_counter() - start
    best: float = json.loads(done.stdout.strip().splitlines()[-1])["best"]
    return seconds, best


if __name__ == "__main__":
    main()
