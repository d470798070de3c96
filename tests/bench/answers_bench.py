"""Test scores of one `rayml run` beside LightGBM, Optuna and AutoGluon, at the same wall-clock.

    python tests/bench/answers_bench.py [TABLE …] [--folder FOLDER] [--seconds 60]
        [--sides rayml lightgbm optuna medium best] [--words space=all …]

Tables are those of `peers/public_tables.py`, written to FOLDER where they are not there; each has
rows of train, validation and test, and the test rows are scored once by each side. A CSV of your
own with a column `split` is taken too, with a line in FOLDER/tables.json. rayml's seconds are those
of the whole command, endpoint and a first answer included; the peers' are of training alone.
`row_ms` is a prediction of one row in milliseconds, in the process that has the model.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from peers.environments import python_of

HERE = Path(__file__).parent
SIDES = ("rayml", "lightgbm", "optuna", "medium", "best")


def main() -> None:
    """Measure each table by each side, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="*")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    parser.add_argument("--folder", type=Path, default=cache / "rayml-bench" / "tables")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--words", nargs="+", default=["space=auto"])
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    if not (folder / "tables.json").exists():
        writer = HERE / "peers" / "public_tables.py"
        subprocess.run([python_of("tables"), str(writer), str(folder)], check=True)
    known = json.loads((folder / "tables.json").read_text())
    for name in asked.tables or known:
        for side in asked.sides:
            table = folder / f"{name}.csv"
            found = (
                by_rayml(table, known[name], asked.seconds, asked.words)
                if side == "rayml"
                else by_peer(side, table, known[name], asked.seconds)
            )
            print(f"{name:14} {side:9} {line(found)}", flush=True)


def by_rayml(
    table: Path, known: dict[str, Any], seconds: float, words: list[str]
) -> dict[str, float | str]:
    """The scores of the version that one command registers."""
    with tempfile.TemporaryDirectory() as home:
        command = [
            *(sys.executable, "-m", "rayml", "run", "data=csv", f"data.source.paths={table}"),
            *(f"data.target={known['target']}", f"data.task={known['task']}", "name=table"),
            *("data.split.method=given", "data.split.column=split", "serve.port=0"),
            *(f"search.seconds={seconds:g}", *words),
        ]
        environment = {**os.environ, "RAYML_HOME": home}
        start = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        spent = time.perf_counter() - start
        (Path(tempfile.gettempdir()) / "answers_bench.log").write_text(done.stdout + done.stderr)
        if done.returncode:
            return {"failed": " | ".join((done.stdout + done.stderr).strip().splitlines()[-3:])}
        info = json.loads(next(Path(home).glob("registry/**/bundle.json")).read_text())
        test = info["metrics"]["test"]
        metric = "rmse" if known["task"] == "regression" else "accuracy"
        scores = {metric: test[metric]}
        if metric == "accuracy":
            scores["log_loss"] = test["loss"]
        return {**scores, "seconds": spent, "members": float(info.get("ensemble") or 1)}


def by_peer(side: str, table: Path, known: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The scores of a peer."""
    script = str(HERE / "peers" / "table_answers.py")
    words = [str(table), known["target"], known["task"], f"{seconds:g}"]
    command = [python_of("autogluon"), script, side, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": " | ".join(done.stderr.strip().splitlines()[-2:])}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def line(found: dict[str, Any]) -> str:
    """The figures of one side."""
    if "failed" in found:
        return f"failed: {found['failed']}"
    return "  ".join(f"{name} {value:.5g}" for name, value in found.items())


if __name__ == "__main__":
    main()
