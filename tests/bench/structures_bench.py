"""How many structures a sweep looks at, and what it finds, beside its peers, on California.

    python tests/bench/structures_bench.py [--data FOLDER] [--trials 30] [--rounds 3]
        [--before CHECKOUT]

Width, depth and batch size are searched, 27 structures in all, with three more keys. The sides, in
turns: a sweep; the same of another checkout, if it is given; and Optuna alone in one process with
n_jobs=2, with the same space, trials, pruning, features and architecture. The data are prepared
beforehand for all; each side is a fresh process, its start and that of its Ray included. A round
has a seed of its own.
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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rayml.data.prepare.prepare import open_prepared
from rayml.search.results.leaderboard import read_leaderboard

HERE = Path(__file__).resolve().parent
KEYS = ("model.width", "model.depth", "train.batch_size")
EPOCHS = 20


def main() -> None:
    """Run all sides in turns and print what each found."""
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        own = HERE.parents[1]
        arrays = _prepare(home, options, own)
        sides: dict[str, Callable[[int], Mapping[str, Any]]] = {
            "rayml": lambda seed: _rayml(home, options, own, f"own-{seed}", seed),
            "Optuna, n_jobs=2": lambda seed: _peer(arrays, options, seed),
        }
        if options.before is not None:
            before = options.before.resolve()
            sides["rayml before"] = lambda seed: _rayml(
                home, options, before, f"before-{seed}", seed
            )
        found: dict[str, list[Mapping[str, Any]]] = {side: [] for side in sides}
        for seed in range(options.rounds):
            for side, run in sides.items():
                found[side].append(run(seed))
                print(f"seed {seed}: {side}: {_told([found[side][-1]])}", flush=True)
        print(f"\nCalifornia, {options.trials} trials, medians of {options.rounds}")
        for side, runs in found.items():
            print(f"{side:<20}{_told(runs)}", flush=True)


def _told(runs: list[Mapping[str, Any]]) -> str:
    structures, best, seconds = (
        statistics.median(run[name] for run in runs) for name in ("structures", "best", "seconds")
    )
    return f"{structures:g} structures, RMSE {best:.4f}, {seconds:.1f} s"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("RAYML_DATA", "data"))
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", type=Path)
    return parser.parse_args()


def _command(home: Path, checkout: Path, verb: str, *words: str) -> None:
    environment = {
        **os.environ,
        "RAYML_HOME": str(home / "runs"),
        "PYTHONPATH": str(checkout),
    }
    command = [sys.executable, "-m", "rayml", verb, "data=california", *words]
    subprocess.run(
        command, env=environment, cwd=checkout, capture_output=True, text=True, check=True
    )


def _prepare(home: Path, options: argparse.Namespace, checkout: Path) -> Path:
    _command(home, checkout, "prepare", f"paths.data={options.data}")
    (folder,) = (home / "runs" / "prepared").iterdir()
    prepared = open_prepared(folder)
    info = prepared.preprocessor.target
    arrays = {
        "cardinalities": np.array(prepared.preprocessor.shape.cardinalities),
        "scale": np.array(info.scale),
    }
    for split in ("train", "validation"):
        examples = prepared.examples(split)
        arrays[f"{split}_numeric"] = examples.features.numeric
        arrays[f"{split}_categorical"] = examples.features.categorical
        arrays[f"{split}_target"] = examples.target
    np.savez(home / "california.npz", **arrays)
    return home / "california.npz"


def _rayml(
    home: Path, options: argparse.Namespace, checkout: Path, name: str, seed: int
) -> Mapping[str, Any]:
    start = time.perf_counter()
    words = [
        f"paths.data={options.data}",
        f"search.trials={options.trials}",
        f"search.name={name}",
        f"train.epochs={EPOCHS}",
        f"seed={seed}",
        "data.split.seed=0",  # as the prepared data's
        "train.seed=0",
        "confirm=none",  # as the peer does
    ]
    _command(home, checkout, "sweep", *words)
    seconds = time.perf_counter() - start
    rows = read_leaderboard(home / "runs" / "sweeps" / name).rows
    structures = {tuple(row.params[key] for key in KEYS) for row in rows}
    best = min(row.value for row in rows if row.value is not None)
    return {"structures": len(structures), "best": best, "seconds": seconds}


def _peer(arrays: Path, options: argparse.Namespace, seed: int) -> Mapping[str, Any]:
    words = [str(arrays), str(options.trials), str(EPOCHS), str(seed)]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(HERE / "peers" / "optuna_structures.py"), *words],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {**found, "seconds": time.perf_counter() - start}


if __name__ == "__main__":
    main()
