from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from rayml.data.advice.leaks import STRONG, auroc, repeats, strength
from rayml.data.rows.infer_schema import guess_kind

RNG = np.random.default_rng(0)
ROWS = 600
LABELS = RNG.integers(0, 2, ROWS)
CLASSES = RNG.integers(0, 4, ROWS)
VALUES = RNG.normal(size=ROWS)
NOISE = RNG.normal(size=ROWS)


def chunked(values: Any) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values)])


def strong(column: Any, target: Any, *, has_classes: bool = True) -> bool:
    values = chunked(column)
    kind = guess_kind(values.combine_chunks())
    assert kind is not None
    if kind == "numeric":
        values = values.cast(pa.float64())
    found = strength(values, kind, chunked(target), has_classes=has_classes)
    assert found <= 1 + 1e-9
    return found > STRONG


@pytest.mark.parametrize(
    ("column", "tells"),
    [
        (LABELS * 10 + NOISE, True),
        (-LABELS * 10 + NOISE, True),
        (LABELS.astype(bool), True),
        (np.where(LABELS == 1, "won", "lost"), True),
        (np.where(LABELS == 1, RNG.choice(["a", "b"], ROWS), RNG.choice(["c", "d"], ROWS)), True),
        # Only what happened has a value, and neither row order nor a line can part it.
        ([x if label else None for x, label in zip(NOISE, LABELS, strict=True)], True),
        (np.where(LABELS == 1, 0.0, 5 * np.sign(NOISE)), True),
        ([datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=int(9 * y)) for y in LABELS], True),
        (LABELS * 2 + NOISE, False),
        (NOISE, False),
        ([f"user {i}" for i in range(ROWS)], False),
        (RNG.choice(list("abcdefgh"), ROWS), False),
        ([None, 1.0] * (ROWS // 2), False),
    ],
)
def test_a_column_that_tells_the_class_is_found(column: Any, tells: bool) -> None:
    names = np.where(LABELS == 1, "yes", "no")
    assert strong(column, names) is tells


def test_one_of_several_classes_is_not_enough() -> None:
    assert strong(CLASSES * 5 + NOISE * 0.1, CLASSES)
    assert not strong(np.where(CLASSES == 0, 9.0, NOISE), CLASSES)


@pytest.mark.parametrize(
    ("column", "tells"),
    [
        (VALUES * 3 - 7, True),
        (np.exp(5 * VALUES), True),
        (-VALUES, True),
        (VALUES + 0.001 * NOISE, True),
        ([None, *VALUES[1:]], True),
        (VALUES + NOISE, False),
        (NOISE, False),
        ([f"user {i}" for i in range(ROWS)], False),
    ],
)
def test_a_column_that_tells_the_number_is_found(column: Any, tells: bool) -> None:
    assert strong(column, VALUES, has_classes=False) is tells


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=50))
def test_auroc_agrees_with_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    score, positive = (np.array(each) for each in zip(*rows, strict=True))
    if len(set(positive.tolist())) == 2:
        expected = roc_auc_score(positive, score)
        assert auroc(score.astype(float), positive) == pytest.approx(expected)


def test_the_target_under_another_name_is_found() -> None:
    names = chunked(np.where(LABELS == 1, "yes", "no"))
    assert repeats(chunked(np.where(LABELS == 1, "yes", "no")), names, has_classes=True)
    assert repeats(chunked(LABELS), names, has_classes=True)
    assert repeats(chunked(LABELS == 0), names, has_classes=True)
    assert not repeats(chunked(CLASSES), names, has_classes=True)
    assert not repeats(chunked(np.where(NOISE > 0, "yes", "no")), names, has_classes=True)
    assert repeats(chunked(VALUES), chunked(VALUES), has_classes=False)
    # Numbers that never repeat pair up with any others.
    assert not repeats(chunked(NOISE), chunked(VALUES), has_classes=False)
    assert not repeats(chunked(NOISE), chunked([str(i) for i in range(ROWS)]), has_classes=True)
