"""The target: its classes or scale, fitted on the training split, and its encoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rayml.data.columns.kinds import parse, plain
from rayml.data.statistics.categories import CategoryStatistics
from rayml.data.statistics.moments import NumericStatistics
from rayml.errors import DataError
from rayml.types import ClassLabel, Kind, SplitName, TargetInfo, TaskName

MAX_CLASSES = 1000


def label_text(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Class labels of any kind as text: `1`, `true`, `>50K`."""
    return parse(column, "categorical")[0]


def check_task(name: str, kind: Kind, task: TaskName) -> None:
    """Check that a task can predict a column of a kind.

    Raises:
        DataError: it cannot.
    """
    if (task == "regression" and kind != "numeric") or kind == "timestamp":
        raise DataError(
            f"the target {name!r} is a {kind} column, and data.task={task} predicts "
            + ("numbers" if task == "regression" else "text, truth values or whole numbers"),
            remedy="Set another data.task, or the kind of the column in data.schema.kinds",
        )


def fit_regression(name: str, statistics: NumericStatistics) -> TargetInfo:
    """Mean and standard deviation of a regression target.

    Raises:
        DataError: the target does not vary, or its numbers are too large to square.
    """
    scale = statistics.deviation
    if scale == 0 or not np.isfinite(scale):
        raise DataError(
            f"the target {name!r} has one value on the training split"
            if scale == 0
            else f"the target {name!r} has numbers too large to square",
            remedy="Choose another target" if scale == 0 else "Divide it by a power of ten",
        )
    return TargetInfo(name, "regression", mean=statistics.mean, scale=scale)


def fit_classes(
    name: str,
    kind: Kind,
    task: TaskName,
    statistics: CategoryStatistics,
    positive: ClassLabel | None = None,
) -> TargetInfo:
    """Classes of a target in sorted order, the positive one of a binary task second.

    Raises:
        DataError: too few or too many classes, labels that cannot be classes, or no such positive
            class.
    """
    labels = sorted_labels(name, kind, list(statistics.counts))
    if (task == "binary" and len(labels) != 2) or not 2 <= len(labels) <= MAX_CLASSES:
        raise DataError(
            f"column {name!r} has {_classes(len(labels))} on the training split, and"
            f" data.task={task} takes {2 if task == 'binary' else f'2 to {MAX_CLASSES}'}",
            found=labels[:10],
            remedy="Set data.task to binary, multiclass or regression, as suits the target",
        )
    if positive is not None and task == "binary":
        chosen = [label for label in labels if label == positive] or [
            label for label in labels if _same(label, positive)
        ]
        if not chosen:
            raise DataError(
                f"column {name!r} has no class {positive!r}",
                remedy=f"Set data.positive to one of {labels}",
            )
        labels.sort(key=lambda label: label == chosen[0])
    return TargetInfo(name, task, classes=tuple(labels))


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
            f"column {name!r} has classes that are not whole numbers",
            found=list(texts[:5]),
            remedy="Set data.task=regression, or the kind of the column to categorical in"
            " data.schema.kinds",
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
    """Check that each split has both classes of a binary task.

    Args:
        info: the target.
        counts: rows by class, of each split.
        given: whether the data give the splits; their test rows may be of one class.

    Raises:
        DataError: a split has only one of them, so that no metric is defined there.
    """
    if info.task != "binary":
        return
    checked: tuple[SplitName, ...] = ("validation",) if given else ("validation", "test")
    for split in checked:
        lacking = [text for text in _texts(info) if not counts[split].get(text)]
        if not lacking:
            continue
        have = sum(counts[each].get(lacking[0], 0) for each in counts)
        rows = sum(sum(each.values()) for each in counts.values())
        raise DataError(
            f"the {split} split has no row of class {lacking[0]!r} of column {info.name!r}: "
            f"{have} of {rows:,} rows are of it, and train, validation and test need one each",
            remedy="Add rows of it, or set data.split.method=stratified",
        )


def encode(info: TargetInfo, column: pa.ChunkedArray | pa.Array) -> npt.NDArray[Any]:
    """Encode target values.

    Returns:
        Shape [rows]: int64 class codes, or float32 standardised values.

    Raises:
        DataError: a value is missing, or a class that the training split lacks.
    """
    values = plain(column)
    target: npt.NDArray[Any]
    if info.task == "regression":
        encoded = (pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False) - info.mean) / (
            info.scale
        )
        wrong = ~np.isfinite(encoded)
        target = encoded.astype(np.float32)
    else:
        codes = pc.index_in(label_text(values), pa.array(_texts(info)))
        target = codes.fill_null(-1).to_numpy().astype(np.int64)
        wrong = target < 0
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        value = values[row].as_py()
        raise DataError(
            f"the target {info.name!r} has no value in row {row}"
            if value is None
            else f"the target {info.name!r} has the value {value!r} in row {row}, which training"
            " lacks",
            remedy="Correct the row, or leave it out",
        )
    return target


def _classes(count: int) -> str:
    return "1 class" if count == 1 else f"{count} classes"


def _texts(info: TargetInfo) -> list[str]:
    return [str(c).lower() if isinstance(c, bool) else str(c) for c in info.classes]


def _same(label: ClassLabel, positive: ClassLabel) -> bool:
    # YAML reads yes, true and 1 as truth values and numbers, though the column may hold text.
    return str(label).lower() == str(positive).lower()
