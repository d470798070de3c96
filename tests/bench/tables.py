"""Prepared tables of the sweep benchmarks, as a sweep reads them and as arrays for its peers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from rayml.data.prepare.prepare import open_prepared
from rayml.types import TaskName

OWN = Path(__file__).resolve().parents[2]


def rayml(home: Path, verb: str, *words: str, checkout: Path = OWN) -> None:
    """Run a command of rayml.

    Args:
        home: where it keeps everything.
        verb: of the command.
        words: overrides.
        checkout: whose rayml it is.
    """
    environment = {**os.environ, "RAYML_HOME": str(home / "runs"), "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-m", "rayml", verb, *words]
    subprocess.run(
        command, env=environment, cwd=checkout, capture_output=True, text=True, check=True
    )


def prepare(home: Path, table: str, data: str) -> tuple[Path, TaskName]:
    """Prepare a table for all sides.

    Args:
        home: of the sweeps.
        table: name of the config of a dataset.
        data: folder of the tables.

    Returns:
        The arrays for the peers, and the task.
    """
    rayml(home, "prepare", f"data={table}", f"paths.data={data}", "data.split.seed=0")
    (folder,) = (home / "runs" / "prepared").iterdir()
    prepared = open_prepared(folder)
    info = prepared.preprocessor.target
    arrays = {"cardinalities": np.array(prepared.preprocessor.shape.cardinalities)}
    if info.task == "regression":
        arrays["scale"] = np.array(info.scale)
    for split in ("train", "validation"):
        examples = prepared.examples(split)
        arrays[f"{split}_numeric"] = examples.features.numeric
        arrays[f"{split}_categorical"] = examples.features.categorical
        arrays[f"{split}_target"] = examples.target
    np.savez(home / f"{table}.npz", **arrays)
    return home / f"{table}.npz", info.task
