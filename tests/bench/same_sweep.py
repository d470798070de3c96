"""Compares what a deterministic sweep computes in two checkouts: nothing may differ.

    python tests/bench/same_sweep.py ../before . [OVERRIDE …]

Each argument is a checkout with its own `.venv`, whose `rayml` then runs the deterministic sweep
of the README (or the overrides that follow, in its place), or the folder of a sweep that ran
before. Compared are the operations of the journals in their order, the weights of each trial, and
the hash of the prepared data. Times, and the names of processes, calls and sessions, are left
out: they differ from run to run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from itertools import zip_longest
from pathlib import Path
from typing import Any

SWEEP = ("data=wine", "search.deterministic=true", "search.trials=8", "train.epochs=3")
NAME = "same"
# Times, and names that a run gives to itself.
VARYING = {
    "datetime_complete",
    "datetime_start",
    "first_epoch",
    "identity",
    "request",
    "session",
    "spent",
    "train_seconds",
    "tune_trial",
    "worker_id",
}


def main() -> int:
    """Run the sweeps and compare them; 1 if they differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("overrides", nargs="*", default=SWEEP)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = [
            outcome(swept(place.resolve(), Path(scratch) / str(index), given.overrides))
            for index, place in enumerate((given.before, given.after))
        ]
    differences = [
        f"{index}: {one}\n{' ' * len(str(index))}  {other}"
        for index, (one, other) in enumerate(zip_longest(*found))
        if one != other
    ]
    print("\n".join(differences[:10]))
    print(f"{len(differences)} of {max(map(len, found))} operations, weights and hashes differ")
    return 1 if differences else 0


def swept(place: Path, folder: Path, overrides: list[str]) -> Path:
    """The folder of a sweep: the place itself, or that of one which its checkout runs now."""
    if (place / "journal.log").is_file():
        return place
    folder.mkdir()
    command = [str(place / ".venv/bin/rayml"), "sweep", *overrides, f"search.name={NAME}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return folder / "runs" / "sweeps" / NAME


def outcome(sweep: Path) -> list[str]:
    """What a sweep computed: operations, then weights, then the hash of its data."""
    lines = (sweep / "journal.log").read_text().splitlines()
    found = [json.dumps(_constant(json.loads(line)), sort_keys=True) for line in lines]
    found = [each for each in found if each != "{}"]
    for path in sorted(sweep.glob("trials/*/*.safetensors")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        found.append(f"{path.relative_to(sweep)} {digest}")
    return [*found, Path(json.loads((sweep / "data.json").read_text())["path"]).name]


def _constant(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _constant(value) for key, value in tree.items() if key not in VARYING}
    return [_constant(each) for each in tree] if isinstance(tree, list) else tree


if __name__ == "__main__":
    sys.exit(main())
