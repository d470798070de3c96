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
    """Check that a task can have a target of a kind.

    Raises:
        DataError: it cannot.
    """
    if (task == "regression" and kind != "numeric") or kind == "timestamp":
        raise DataError(
            f"the target of a {task} task is "
            + ("numeric" if task == "regression" else "categorical, boolean or whole numbers"),
            found=f"{kind} column {name!r}",
            remedy="Set another task, or the kind of the column in schema.kinds",
        )


def fit_regression(name: str, statistics: NumericStatistics) -> TargetInfo:
    """Mean and standard deviation of a regression target.

    Raises:
        DataError: the target does not vary, or its numbers are too large to square.
    """
    scale = statistics.deviation
    if scale == 0 or not np.isfinite(scale):
        raise DataError(
            f"the target {name!r} of a regression varies on the training split, within floats",
            found=f"standard deviation {scale}",
            remedy="Choose another target, or divide it by a power of ten",
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
        DataError: too few or too many classes, labels that are no labels, or no such positive.
    """
    labels = sorted_labels(name, kind, list(statistics.counts))
    if (task == "binary" and len(labels) != 2) or not 2 <= len(labels) <= MAX_CLASSES:
        raise DataError(
            f"the training split of a {task} task has "
            + ("2 classes" if task == "binary" else f"2 to {MAX_CLASSES} classes"),
            found=f"{len(labels)} in column {name!r}: {labels[:10]}",
            remedy="Set the task to binary, multiclass or regression as fits the target",
        )
    if positive is not None and task == "binary":
        chosen = [label for label in labels if label == positive] or [
            label for label in labels if _same(label, positive)
        ]
        if not chosen:
            raise DataError(
                f"the positive class is one of column {name!r}",
                found=positive,
                remedy=f"There are: {labels}",
            )
        labels.sort(key=lambda label: label == chosen[0])
    return TargetInfo(name, task, classes=tuple(labels))


def sorted_labels(name: str, kind: Kind, texts: Sequence[str]) -> list[ClassLabel]:
    """Labels in their own type, in their own order.

    Raises:
        DataError: labels of a numeric column that are no whole numbers, or times.
    """
    if kind == "boolean":
        return sorted(text == "true" for text in texts)
    if kind == "categorical":
        return sorted(texts)
    try:
        return sorted(int(text) for text in texts)
    except ValueError:
        raise DataError(
            f"the classes in column {name!r} are text, truth values or whole numbers",
            found=list(texts[:5]),
            remedy="Set the task to regression, or schema.kinds to categorical for this column",
        ) from None


def check_seen(info: TargetInfo, split: str, labels: Sequence[str]) -> None:
    """Check that a split has no class that training lacks.

    Raises:
        DataError: it has one.
    """
    unseen = sorted(set(labels) - set(_texts(info)))
    if unseen:
        raise DataError(
            f"each class of column {info.name!r} occurs in the training split; only the split "
            f"{split} has",
            found=unseen[:10],
            remedy="Use split.method=stratified, or merge rare classes",
        )


def check_each_split(
    info: TargetInfo, counts: Mapping[SplitName, Mapping[str, int]], *, given: bool
) -> None:
    """Check that both classes of a binary task can be told apart in each split.

    Args:
        info: the target.
        counts: rows by class, of each split.
        given: whether the data give the splits; their test rows may be of one class.

    Raises:
        DataError: a split has only one of them, so that no metric means anything there.
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
            remedy="Give more rows of it, or set data.split.method=stratified",
        )


def encode(info: TargetInfo, column: pa.ChunkedArray | pa.Array) -> npt.NDArray[Any]:
    """Encode target values.

    Returns:
        Shape [rows]: int64 class codes, or float32 standardised values.

    Raises:
        DataError: a value is missing, or no class of the training split.
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
        raise DataError(
            f"a value of the target {info.name!r} is present and known from training",
            found=values[row].as_py(),
            remedy=f"See row {row}",
        )
    return target


def _texts(info: TargetInfo) -> list[str]:
    return [str(c).lower() if isinstance(c, bool) else str(c) for c in info.classes]


def _same(label: ClassLabel, positive: ClassLabel) -> bool:
    # YAML reads yes, true and 1 as what they look like, whatever the column holds.
    return str(label).lower() == str(positive).lower()
