from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from rayml.data.columns.schema import FeatureSchema
from rayml.data.fit.fitting import fit_target
from rayml.data.statistics.categories import CategoryStatistics
from rayml.data.statistics.moments import NumericStatistics
from rayml.data.statistics.statistics import Statistics
from rayml.data.statistics.target import (
    check_each_split,
    check_seen,
    check_task,
    encode,
    label_text,
)
from rayml.errors import DataError
from rayml.types import ClassLabel, Kind, TargetInfo, TaskName

KINDS: dict[type, Kind] = {str: "categorical", bool: "boolean", int: "numeric", float: "numeric"}


def classes(
    values: list[object], task: TaskName = "binary", positive: ClassLabel | None = None
) -> TargetInfo:
    statistics = Statistics(categories={"y": CategoryStatistics.of(label_text(pa.array(values)))})
    schema = FeatureSchema((), "y", KINDS[type(values[0])])
    return fit_target(schema, statistics, task, positive)


def number(*values: float) -> TargetInfo:
    statistics = Statistics(numeric={"y": NumericStatistics.of(np.array(values))})
    return fit_target(FeatureSchema((), "y", "numeric"), statistics, "regression", None)


@pytest.mark.parametrize(
    ("values", "positive", "expected"),
    [
        (["yes", "no"], None, ("no", "yes")),
        (["yes", "no"], "no", ("yes", "no")),
        ([10.0, 9.0], None, (9, 10)),
        ([1, 0], 0, (1, 0)),
        ([True, False], None, (False, True)),
        (["TRUE", "FALSE"], True, ("FALSE", "TRUE")),
        (["a", "A"], "a", ("A", "a")),
        ([True, False], "false", (True, False)),
    ],
)
def test_classes_are_sorted_with_the_positive_one_second(
    values: list[object], positive: ClassLabel | None, expected: tuple[ClassLabel, ...]
) -> None:
    info = classes(values, positive=positive)
    assert info.classes == expected
    assert [type(label) for label in info.classes] == [type(label) for label in expected]
    codes = encode(info, pa.array(values))
    assert codes.dtype == np.int64
    assert [info.classes[code] for code in codes] == values


def test_many_classes_sort_in_their_own_order() -> None:
    assert classes([10, 9, 100], "multiclass").classes == (9, 10, 100)
    assert classes(["10", "9", "100"], "multiclass").classes == ("10", "100", "9")


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        (["a", "b", "c"], "binary", "column 'y' has 3 classes .*data.task=binary takes 2: "),
        (["a"], "multiclass", "data.task=multiclass takes 2 to 1000"),
        ([f"c{i}" for i in range(1001)], "multiclass", "data.task=multiclass takes 2 to 1000"),
        ([1.5, 2.5], "binary", "whole numbers"),
    ],
)
def test_targets_that_do_not_suit_are_refused(
    values: list[object], task: TaskName, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        classes(values, task)


def test_an_unknown_positive_is_refused() -> None:
    with pytest.raises(DataError, match="positive class 'maybe' is no class of column 'y'"):
        classes(["yes", "no"], positive="maybe")


def test_a_regression_is_standardised() -> None:
    values = np.array([1.0, 2.0, 6.0])
    info = number(*values)
    encoded = encode(info, pa.chunked_array([values]))
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded * info.scale + info.mean, values, rtol=1e-6)


def test_a_regression_needs_a_target_that_varies() -> None:
    with pytest.raises(DataError, match=r"same value in each training row: 3\.0"):
        number(3.0, 3.0)


def test_a_regression_needs_numbers_that_can_be_squared() -> None:
    with pytest.raises(DataError, match=r"too large to square: \(-1e\+200, 1e\+200\)"):
        number(-1e200, 1e200)


def test_values_that_training_lacks_are_refused() -> None:
    info = classes(["yes", "no"])
    with pytest.raises(DataError, match=r"row 1 .* no class of the training split: 'maybe'"):
        encode(info, pa.array(["yes", "maybe"]))
    with pytest.raises(DataError, match=r"row 0 .* missing or no number"):
        encode(number(1.0, 2.0), pa.array([None, 1.0]))
    check_seen(info, "test", ["yes"])
    with pytest.raises(DataError, match=r"test split has classes .*: \['maybe'\]"):
        check_seen(info, "test", ["yes", "maybe"])


@pytest.mark.parametrize(
    ("kind", "task"),
    [("categorical", "regression"), ("boolean", "regression"), ("timestamp", "binary")],
)
def test_kinds_that_a_task_cannot_have(kind: Kind, task: TaskName) -> None:
    with pytest.raises(DataError, match=f"column 'y' is {kind}, and data.task={task} predicts"):
        check_task("y", kind, task)
    check_task("y", "numeric", task)


BINARY = TargetInfo("y", "binary", classes=("no", "yes"))


def test_each_split_needs_both_classes_of_a_binary_task() -> None:
    both, one = {"no": 50, "yes": 3}, {"no": 50}
    check_each_split(BINARY, {"train": both, "validation": both, "test": both}, given=False)
    with pytest.raises(DataError, match="validation split has no row of class 'yes'") as told:
        check_each_split(BINARY, {"train": both, "validation": one, "test": one}, given=True)
    assert "only 3 of 153 rows have it" in str(told.value)
    lacking = {"train": both, "validation": both, "test": one}
    check_each_split(BINARY, lacking, given=True)
    with pytest.raises(DataError, match="test split has no row"):
        check_each_split(BINARY, lacking, given=False)
