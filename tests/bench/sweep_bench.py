"""Wall-clock of a sweep over Adult, from the command to its winner, beside its peers.

    python tests/bench/sweep_bench.py [--data FOLDER] [--trials 64 256] [--epochs 10] [--rounds 1]

The peers are plain Ray Tune with OptunaSearch and ASHA, as documented and at its best, and Optuna
alone in one process with n_jobs=2. The same space, trials, epochs, pruning, features and
architecture; each side in a fresh process, its start and that of its Ray included. The data are
prepared beforehand for all. The sides take turns, `rounds` times, and medians are compared. The
last line is the sweep's training steps alone, see `arithmetic.py`.
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
from collections import Counter
from pathlib import Path

from arithmetic import seconds_of_steps
from tables import prepare, rayml

from rayml.search.results.leaderboard import read_leaderboard

HERE = Path(__file__).resolve().parent
ARITHMETIC_LANES = 16


def main() -> None:
    """Run all sides and print their seconds, best values and ratios."""
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        arrays, _ = prepare(home, "adult", options.data)
        for trials in options.trials:
            _compare(home, arrays, options, trials)


def _compare(home: Path, arrays: Path, options: argparse.Namespace, trials: int) -> None:
    sides = {
        "rayml": lambda number: _rayml(home, options, trials, number),
        "Ray Tune, documented": lambda _: _peer(arrays, options, trials, "tune_asha", "documented"),
        "Ray Tune, tuned": lambda _: _peer(arrays, options, trials, "tune_asha", "tuned"),
        "Optuna, n_jobs=2": lambda _: _peer(arrays, options, trials, "optuna_alone"),
    }
    sides = {name: side for name, side in sides.items() if name not in options.skip}
    runs: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    steps: list[float] = []
    for number in range(options.rounds):
        for side, measure in sides.items():
            runs[side].append(measure(number))
            seconds, best = runs[side][-1]
            print(f"round {number + 1}: {side}: {seconds:.1f} s, best {best:.4f}", flush=True)
        steps.append(_arithmetic(home, arrays, options, trials, number))
    own = statistics.median(seconds for seconds, _ in runs["rayml"])
    print(f"\n{trials} trials of up to {options.epochs} epochs on Adult, batch {options.batch}")
    print(f"{'':<22}{'seconds':>9}{'ratio':>8}{'best validation accuracy':>27}")
    for side, measured in runs.items():
        seconds = statistics.median(each for each, _ in measured)
        best = max(value for _, value in measured)
        print(f"{side:<22}{seconds:>9.1f}{seconds / own:>8.2f}{best:>27.4f}")
    floor = statistics.median(steps)
    print(f"{'the steps alone':<22}{floor:>9.1f}{floor / own:>8.2f}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("RAYML_DATA", "data"))
    parser.add_argument("--trials", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--skip", nargs="*", default=[], help="names of sides to leave out")
    return parser.parse_args()


def _rayml(
    home: Path, options: argparse.Namespace, trials: int, number: int
) -> tuple[float, float]:
    start = time.perf_counter()
    rayml(
        home,
        "sweep",
        "data=adult",
        "data.split.seed=0",  # as the prepared data's
        f"paths.data={options.data}",
        f"search.trials={trials}",
        f"train.epochs={options.epochs}",
        f"train.batch_size={options.batch}",
        "~space.train.batch_size",
        "space.model.width.choices=[64,128]",
        f"search.name={_name(trials, number)}",
        "confirm=none",  # as the peers do
    )
    seconds = time.perf_counter() - start
    best = read_leaderboard(home / "runs" / "sweeps" / _name(trials, number)).rows[0].value
    assert best is not None
    return seconds, best


def _name(trials: int, number: int) -> str:
    return f"bench-{trials}-{number}"


def _arithmetic(
    home: Path, arrays: Path, options: argparse.Namespace, trials: int, number: int
) -> float:
    epochs: Counter[tuple[int, int]] = Counter()
    for row in read_leaderboard(home / "runs" / "sweeps" / _name(trials, number)).rows:
        epochs[row.params["model.width"], row.params["model.depth"]] += row.epochs
    seconds = seconds_of_steps(arrays, epochs, options.batch, ARITHMETIC_LANES)
    print(f"{sum(epochs.values())} epochs of all trials: {seconds:.1f} s of steps", flush=True)
    return seconds


def _peer(
    arrays: Path, options: argparse.Namespace, trials: int, script: str, *form: str
) -> tuple[float, float]:
    space = json.dumps({"widths": [64, 128], "batches": [options.batch]})
    words = [str(arrays), str(trials), str(options.epochs), space, "0", *form]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(HERE / "peers" / f"{script}.py"), *words],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - start
    best: float = json.loads(done.stdout.strip().splitlines()[-1])["best"]
    return seconds, best


if __name__ == "__main__":
    main()
