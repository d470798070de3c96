"""Objectives without training: the grids of HPOBench and the learning curves of LCBench.

Both are maximised. Regret is normalised: 0 is the best that is known, 1 the median of the space.

Sources: Eggensperger et al., HPOBench, NeurIPS 2021 Datasets and Benchmarks; Zimmer et al.,
Auto-PyTorch Tabular, TPAMI 2021 (LCBench), by the surrogate of Pfisterer et al., YAHPO Gym,
AutoML 2022.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from simulated import Curve

GRIDS = ("credit_g", "phoneme", "vehicle")
# Columns of the surrogate's output: seconds since the start, validation balanced accuracy.
TIME, VALUE = 0, 3
TASKS = ("3945", "7593", "34539", "126025", "126026")


class Grid:
    """An MLP's five hyperparameters on a full grid; the value is the mean of five seeds."""

    structural = ("batch_size", "depth", "width")
    epochs = 1
    direction: Literal["maximize"] = "maximize"

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._axes = json.loads((folder / "search_space.json").read_text())["space"]
        self.tree = {
            key: {"type": "int", "low": 0, "high": len(values) - 1}
            for key, values in self._axes.items()
        }
        with gzip.open(folder / f"{name}.csv.gz", "rt") as file:
            rows = np.array(list(csv.reader(file))[1:], dtype=float)
        keys = len(self._axes)
        self._values = {tuple(row[:keys]): float(row[keys:].mean()) for row in rows}
        every = np.array(list(self._values.values()))
        self.best, self.median = float(every.max()), float(np.median(every))

    def curve(self, params: Mapping[str, Any]) -> Curve:
        """A curve of one epoch."""
        point = tuple(float(values[params[key]]) for key, values in self._axes.items())
        return Curve([self._values[point]])


class Task:
    """Seven hyperparameters of an MLP: validation balanced accuracy over 51 epochs.

    LCBench's first entry is measured before any training, so its second is our first epoch.
    """

    structural = ("batch_size", "max_units", "num_layers")
    epochs = 51
    direction: Literal["maximize"] = "maximize"
    tree: Mapping[str, Any] = {
        "batch_size": {"type": "int", "low": 16, "high": 512, "log": True},
        "max_units": {"type": "int", "low": 64, "high": 1024, "log": True},
        "num_layers": {"type": "int", "low": 1, "high": 5},
        "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
        "momentum": {"type": "float", "low": 0.1, "high": 0.99},
        "weight_decay": {"type": "float", "low": 1e-5, "high": 1e-1},
        "max_dropout": {"type": "float", "low": 0.0, "high": 1.0},
    }
    # Columns of the surrogate's input, in its order, after the epoch.
    _columns = (
        "batch_size", "learning_rate", "momentum", "weight_decay", "num_layers", "max_units",
        "max_dropout",
    )  # fmt: skip

    def __init__(self, folder: Path, name: str, session: Any) -> None:
        self.name = f"task {name}"
        self._code = json.loads((folder / "encoding.json").read_text())["OpenML_task_id"][name]
        self._session = session

    def curve(self, params: Mapping[str, Any]) -> Curve:
        """The curve, computed as far as it is read, and the seconds of its first epochs."""
        row = np.array([[params[column] for column in self._columns]])
        values = _Lazy(self, row)
        return Curve(values, values.seconds)

    @property
    def best(self) -> float:
        """Highest value that a wide search with local steps knows of, at any epoch."""
        return self._extremes[0]

    @property
    def median(self) -> float:
        """Of uniformly drawn trials, after all epochs."""
        return self._extremes[1]

    @cached_property
    def _extremes(self) -> tuple[float, float]:
        rng = np.random.default_rng(0)
        shares = rng.random((4000, len(self._columns)))
        values = self._peaks(shares)
        median = float(np.median(values))
        for width in (0.1, 0.05, 0.02, 0.01):
            top = shares[np.argsort(values)[-40:]]
            near = np.repeat(top, 10, axis=0)
            near = np.clip(near + rng.normal(0, width, near.shape), 0, 1)
            shares, values = np.concatenate([shares, near]), np.append(values, self._peaks(near))
        return float(values.max()), median

    def _peaks(self, shares: np.ndarray) -> np.ndarray:
        columns = []
        for index, column in enumerate(self._columns):
            leaf = self.tree[column]
            low, high, log = leaf["low"], leaf["high"], leaf.get("log", False)
            scale, back = (np.log, np.exp) if log else (np.asarray, np.asarray)
            found = back(scale(low) + shares[:, index] * (scale(high) - scale(low)))
            columns.append(np.round(found) if leaf["type"] == "int" else found)
        rows = np.stack(columns, axis=1)
        epochs = (13, 26, 39, 52)
        found = [self.run(rows, np.full(len(rows), epoch))[:, VALUE] for epoch in epochs]
        return np.max(found, axis=0)

    def run(self, rows: np.ndarray, epochs: np.ndarray) -> np.ndarray:
        """The surrogate's outputs for rows of parameters, each at an epoch of LCBench."""
        numbers = np.concatenate([epochs[:, None], rows], axis=1).astype(np.float32)
        codes = np.full((len(rows), 1), self._code, dtype=np.int32)
        return np.asarray(self._session.run(None, {"x_cat": codes, "x_cont": numbers})[0])


class _Lazy(Sequence[float]):
    """A curve that is computed four times as far whenever it is read beyond its end."""

    def __init__(self, task: Task, row: np.ndarray) -> None:
        self._task, self._row = task, row
        self._values: list[float] = []
        self._extend(3)

    def __len__(self) -> int:
        return self._task.epochs

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            self._extend(len(self))
        elif index >= len(self._values):
            self._extend(min(4 * len(self._values), len(self)))
        return self._values[index]

    def _extend(self, epochs: int) -> None:
        # LCBench's epoch 1 is measured before any training.
        wanted = np.arange(len(self._values), epochs) + 2
        if len(wanted):
            found = self._task.run(self._row.repeat(len(wanted), axis=0), wanted)
            self._values += found[:, VALUE].tolist()
            if len(self._values) == epochs == 3:
                self.seconds = max(float(found[-1, TIME]) / 4, 1e-3)


def grids(data: Path) -> list[Grid]:
    """The grids of HPOBench."""
    return [Grid(data / "hpobench", name) for name in GRIDS]


def tasks(data: Path) -> list[Task]:
    """The tasks of LCBench."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        data / "lcbench" / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    return [Task(data / "lcbench", name, session) for name in TASKS]
