"""How soon a search has a good answer, beside its peers.

    python tests/bench/quality_bench.py [--data FOLDER] [--tables adult california online_shoppers]
        [--trials 128] [--epochs 20] [--rounds 3] [--skip SIDE …] [--before CHECKOUT] [WORD …]

Width, depth and batch size are searched, 27 structures in all, with three more keys, or four where
there are classes. The sides, in turns: a sweep (with further overrides, if words are given); the
same of another checkout, if it is given; Optuna alone in one process with n_jobs=2; and a tuned
script of Ray Tune. They have the same space, trials, pruning, features and architecture. The data
are prepared beforehand for all; each side is a fresh process, its start and that of its Ray
included. A round has a seed of its own.

Printed are the seconds from the command until the best validation value is within a share of the
range between the median trial and the best one, both of all sides in the round.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tables import OWN, prepare, rayml

from rayml.search.results.leaderboard import read_leaderboard
from rayml.types import TaskName

HERE = Path(__file__).resolve().parent
KEYS = ("model.width", "model.depth", "train.batch_size")
SPACE = json.dumps({"widths": [64, 128, 256], "batches": [128, 256, 512]})
SHARES = (0.01, 0.05, 0.2)
# Of Optuna's journal: a trial reports a value.
_REPORTED = 7


@dataclass
class Run:
    """What a side found.

    Attributes:
        values: of its trials.
        structures: that these have.
        seconds: until its command ended.
        seen: seconds since the command, and the value that was known then.
    """

    values: list[float] = field(default_factory=list)
    structures: int = 0
    seconds: float = 0.0
    seen: list[tuple[float, float]] = field(default_factory=list)


Side = Callable[[int], Run]


def main() -> None:
    """Run all sides on all tables and print what each found, and when."""
    options = _options()
    for table in options.tables:
        with tempfile.TemporaryDirectory() as temporary:
            home = Path(temporary)
            arrays, task = prepare(home, table, options.data)
            _compare(table, task, _sides(home, arrays, table, task, options), options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("words", nargs="*", help="further overrides of the sweep")
    parser.add_argument("--data", default=os.environ.get("RAYML_DATA", "data"))
    tables = ["adult", "california", "online_shoppers"]
    parser.add_argument("--tables", nargs="+", default=tables)
    parser.add_argument("--trials", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--skip", nargs="*", default=[], help="names of sides to leave out")
    parser.add_argument("--before", type=Path)
    return parser.parse_intermixed_args()


def _sides(
    home: Path, arrays: Path, table: str, task: TaskName, options: argparse.Namespace
) -> dict[str, Side]:
    sides: dict[str, Side] = {
        "rayml": lambda seed: _rayml(home, table, task, options, seed, "own"),
        "before": lambda seed: _rayml(home, table, task, options, seed, "before"),
        "optuna": lambda seed: _peer(arrays, options, seed, "optuna_alone"),
        "tune": lambda seed: _peer(arrays, options, seed, "tune_asha", "tuned"),
    }
    skipped = {*options.skip, *(["before"] if options.before is None else [])}
    return {name: side for name, side in sides.items() if name not in skipped}


def _compare(
    table: str, task: TaskName, sides: dict[str, Side], options: argparse.Namespace
) -> None:
    sign = 1.0 if task == "regression" else -1.0
    found: dict[str, list[Run]] = {side: [] for side in sides}
    times: dict[str, list[list[float]]] = {side: [] for side in sides}
    for seed in range(options.rounds):
        for side, run in sides.items():
            found[side].append(run(seed))
        values = [sign * value for runs in found.values() for value in runs[-1].values]
        best, median = min(values), statistics.median(values)
        for side, runs in found.items():
            times[side].append(
                [_until(runs[-1], sign, best + share * (median - best)) for share in SHARES]
            )
            print(f"{table}, seed {seed}: {_told(side, runs[-1:], times[side][-1:], sign)}")
        print(f"load {os.getloadavg()[0]:.1f}", flush=True)
    print(f"\n{table}, {options.trials} trials, medians of {options.rounds}")
    within = "".join(f"  within {share:.0%}" for share in SHARES)
    print(f"{'':<8}{within}      end       best  structures")
    for side, runs in found.items():
        print(_told(side, runs, times[side], sign), flush=True)


def _told(side: str, runs: list[Run], times: list[list[float]], sign: float) -> str:
    cells = "".join(f"{statistics.median(each):>12.1f}" for each in zip(*times, strict=True))
    best = statistics.median(sign * min(sign * value for value in run.values) for run in runs)
    seconds = statistics.median(run.seconds for run in runs)
    structures = statistics.median(run.structures for run in runs)
    return f"{side:<8}{cells}{seconds:>9.1f}{best:>11.5f}{structures:>12g}"


def _until(run: Run, sign: float, target: float) -> float:
    return min((at for at, value in run.seen if sign * value <= target), default=math.inf)


def _rayml(
    home: Path, table: str, task: TaskName, options: argparse.Namespace, seed: int, side: str
) -> Run:
    name = f"{side}-{seed}"
    folder = home / "runs" / "sweeps" / name
    words = [
        f"data={table}",
        f"paths.data={options.data}",
        f"search.trials={options.trials}",
        f"search.name={name}",
        f"train.epochs={options.epochs}",
        f"seed={seed}",
        "data.split.seed=0",  # as the prepared data's
        "train.seed=0",
        "confirm=none",  # as the peers do
        *(["task.metric=accuracy"] if task == "binary" else []),
        *(options.words if side == "own" else []),
    ]
    checkout = OWN if side == "own" else options.before.resolve()
    run, over = Run(), threading.Event()
    start = time.perf_counter()
    watcher = threading.Thread(target=_watch, args=(folder, start, run, over))
    watcher.start()
    try:
        rayml(home, "sweep", *words, checkout=checkout)
    finally:
        run.seconds = time.perf_counter() - start
        over.set()
        watcher.join()
    rows = read_leaderboard(folder).rows
    run.values = [row.value for row in rows if row.value is not None]
    run.structures = len({tuple(row.params[key] for key in KEYS) for row in rows})
    return run


def _watch(folder: Path, start: float, run: Run, over: threading.Event) -> None:
    """Note each value as it appears in a sweep's journal."""
    journal, place = folder / "journal.log", 0
    while not over.wait(0.1):
        if not journal.exists():
            continue
        with journal.open("rb") as file:
            file.seek(place)
            text = file.read()
        now = time.perf_counter() - start
        whole = text[: text.rfind(b"\n") + 1]
        place += len(whole)
        operations = [json.loads(line) for line in whole.splitlines()]
        run.seen += [
            (now, each["intermediate_value"]) for each in operations if each["op_code"] == _REPORTED
        ]


def _peer(arrays: Path, options: argparse.Namespace, seed: int, script: str, *form: str) -> Run:
    words = [str(arrays), str(options.trials), str(options.epochs), SPACE, str(seed), *form]
    start = time.perf_counter()
    run, last = Run(), ""
    command = [sys.executable, str(HERE / "peers" / f"{script}.py"), *words]
    with subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(OWN)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("value "):
                run.seen.append((time.perf_counter() - start, float(line.split()[1])))
            last = line.strip() or last
    run.seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{script} failed: {last}")
    found: dict[str, Any] = json.loads(last)
    run.values, run.structures = found["values"], found["structures"]
    return run


if __name__ == "__main__":
    main()
