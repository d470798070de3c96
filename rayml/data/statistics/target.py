"""The target: its classes or scale, fitted on the training split, and its encoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rayml.data.columns.kinds import parse, plain
from rayml.errors import DataError
from rayml.tasks.table import task_type
from rayml.types import ClassLabel, Kind, SplitName, TargetInfo, TaskName


def label_text(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Class labels of any kind as text: `1`, `true`, `>50K`."""
    return parse(column, "categorical")[0]


def check_task(name: str, kind: Kind, task: TaskName) -> None:
    """Check that a task predicts columns of a kind.

    Raises:
        DataError: it does not.
    """
    if kind not in (expected := task_type(task)).kinds:
        raise DataError(
            f"column {name!r} is {kind}, and data.task={task} predicts {expected.takes}",
            remedy="Set another data.task, or the kind of the column in data.schema.kinds",
        )


def sorted_labels(name: str, kind: Kind, texts: Sequence[str]) -> list[ClassLabel]:
    """Labels in their own type, in their own order.

    Raises:
        DataError: numbers with fractions, or times.
    """
    if kind == "boolean":
        return sorted(text == "true" for text in texts)
    if kind == "categorical":
        return sorted(texts)
    try:
        return sorted(int(text) for text in texts)
    except ValueError:
        raise DataError(
            f"the target {name!r} has values that are no classes: only text, truth values and whole"
            " numbers are",
            found=list(texts[:5]),
            remedy="Set data.task=regression, or data.schema.kinds to categorical for this column",
        ) from None


def check_seen(info: TargetInfo, split: str, labels: Sequence[str]) -> None:
    """Check that a split has only classes of the training split.

    Raises:
        DataError: it has another.
    """
    unseen = sorted(set(labels) - set(_texts(info)))
    if unseen:
        raise DataError(
            f"the {split} split has classes of column {info.name!r} that the training split lacks",
            found=unseen[:10],
            remedy="Set data.split.method=stratified, or merge rare classes",
        )


def check_each_split(
    info: TargetInfo, counts: Mapping[SplitName, Mapping[str, int]], *, given: bool
) -> None:
    """Check that each split has every class, where a metric needs them all.

    Args:
        info: the target.
        counts: rows by class, of each split that has rows.
        given: whether the data give the splits; their test rows may be of one class.

    Raises:
        DataError: a split lacks a class, so that no metric means anything there.
    """
    if not task_type(info.task).needs_each_class:
        return
    checked: tuple[SplitName, ...] = ("validation",) if given else ("validation", "test")
    for split in [each for each in checked if each in counts]:
        lacking = [text for text in _texts(info) if not counts[split].get(text)]
        if not lacking:
            continue
        have = sum(counts[each].get(lacking[0], 0) for each in counts)
        rows = sum(sum(each.values()) for each in counts.values())
        raise DataError(
            f"the {split} split has no row of class {lacking[0]!r} of column {info.name!r}: "
            f"only {have} of {rows:,} rows have it",
            remedy="Give more rows of it, or set data.split.method=stratified",
        )


def encoded_type(info: TargetInfo) -> np.dtype[Any]:
    """Type of encoded values: int64 of class codes, float32 of standardised numbers."""
    return np.dtype(np.int64 if task_type(info.task).has_classes else np.float32)


def encode(info: TargetInfo, column: pa.ChunkedArray | pa.Array) -> npt.NDArray[Any]:
    """Encode target values.

    Returns:
        Shape [rows]: int64 class codes, or float32 standardised values.

    Raises:
        DataError: a value is missing, or a class that the training split lacks.
    """
    values = plain(column)
    target: npt.NDArray[Any]
    if not task_type(info.task).has_classes:
        encoded = (pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False) - info.mean) / (
            info.scale
        )
        wrong = ~np.isfinite(encoded)
        target = encoded.astype(encoded_type(info))
    else:
        codes = pc.index_in(label_text(values), pa.array(_texts(info)))
        target = codes.fill_null(-1).to_numpy().astype(encoded_type(info))
        wrong = target < 0
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"row {row} has a value of the target {info.name!r} that is missing or no class of the"
            " training split"
            if info.classes
            else f"row {row} has a value of the target {info.name!r} that is missing or no number",
            found=values[row].as_py(),
            remedy="Leave that row out",
        )
    return target


def _classes(count: int) -> str:
    return "1 class" if count == 1 else f"{count} classes"


def _texts(info: TargetInfo) -> list[str]:
    return [str(c).lower() if isinstance(c, bool) else str(c) for c in info.classes]
