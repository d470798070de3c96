"""The trials of a sweep and their curves as Parquet tables."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rayml.search.results.leaderboard import Leaderboard, read_leaderboard
from rayml.storage.disk import make_folder, whole

FOLDER = "report"


def write_tables(folder: Path) -> Leaderboard:
    """Write `report/trials.parquet` and `report/curves.parquet` into a sweep's folder.

    Raises:
        SearchError: the folder is not that of a sweep.
        StorageError: the disk does not take them.
    """
    board = read_leaderboard(folder)
    save_tables(board, folder)
    return board


def save_tables(board: Leaderboard, folder: Path) -> None:
    """Write the two tables of a leaderboard that has been read."""
    make_folder(folder / FOLDER)
    for name, table in (("trials", _trials_table(board)), ("curves", _curves_table(board))):
        with whole(folder / FOLDER / f"{name}.parquet") as partial:
            pq.write_table(table, partial)


def _trials_table(board: Leaderboard) -> pa.Table:
    names = ("number", "state", "value", "epoch", "epochs", "reason", "tune_trial")
    columns: dict[str, list[Any]] = {
        name: [getattr(row, name) for row in board.rows] for name in names
    }
    columns["rank"] = list(range(1, len(board.rows) + 1))
    for metric in board.metrics:
        columns[f"values.{metric}"] = [row.values.get(metric) for row in board.rows]
    # Infinite where it cannot be told, which is no value.
    columns["violation"] = [
        row.violation if math.isfinite(row.violation) else None for row in board.rows
    ]
    for name in ("feasible", "on_front", "started", "ended"):
        columns[name] = [getattr(row, name) for row in board.rows]
    if any(row.descents for row in board.rows):
        columns["ancestry"] = [
            json.dumps([each.to_json() for each in row.descents]) for row in board.rows
        ]
    for key in sorted({key for row in board.rows for key in row.params}):
        columns[f"params.{key}"] = _uniform([row.params.get(key) for row in board.rows])
    return pa.table(columns)


def _curves_table(board: Leaderboard) -> pa.Table:
    rows = [
        {"number": row.number, "epoch": epoch, "value": value, **metrics}
        for row in sorted(board.rows, key=lambda row: row.number)
        for epoch, (value, metrics) in row.curve.items()
    ]
    metrics = sorted({key for row in rows for key in row} - {"number", "epoch", "value"})
    fields = [("number", pa.int64()), ("epoch", pa.int64()), ("value", pa.float64())]
    schema = pa.schema(fields + [(name, pa.float64()) for name in metrics])
    return pa.Table.from_pylist(rows, schema=schema)


def _uniform(values: Iterable[Any]) -> list[Any]:
    """Values of one type; choices of several types become text."""
    values = list(values)
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1 or kinds == {int, float}:
        return values
    return [None if value is None else str(value) for value in values]
