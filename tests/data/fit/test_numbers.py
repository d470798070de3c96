from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.data.fit import numbers
from rayml.data.fit.column_transforms import AffineColumn, Floats, NumericColumn, QuantileColumn
from rayml.data.fit.numbers import NumericColumns

COLUMNS: tuple[NumericColumn, ...] = (
    AffineColumn("a", center=1e-3, scale=0.7, fill=0.0, limit=1e4),
    AffineColumn("flat", center=0.1, scale=0.0, fill=3.0, limit=1e4),
    QuantileColumn("q", (-1.0, 0.5, 1e9), (-2.0, 0.25, 1.5)),
    AffineColumn("plain", center=0.0, scale=1.0, fill=0.3, limit=3e38),
    QuantileColumn("alone", (2.0,), (0.0,)),
)
NUMBER = st.none() | st.floats() | st.sampled_from([-0.0, 0.0, 1e308, -1e308])
ROWS = st.lists(st.tuples(*[NUMBER] * len(COLUMNS)), max_size=8)


def table_of(rows: list[tuple[float | None, ...]]) -> pa.Table:
    values = [[row[i] for row in rows] for i in range(len(COLUMNS))]
    return pa.table([pa.array(column, pa.float64()) for column in values], names=list("abcde"))


def one_by_one(table: pa.Table) -> Floats:
    each = [c.apply(v.to_numpy()) for c, v in zip(COLUMNS, table.columns, strict=True)]
    return np.stack(each, axis=1).astype(np.float32)


@given(rows=ROWS)
def test_the_bits_are_those_of_the_columns_one_by_one(
    rows: list[tuple[float | None, ...]],
) -> None:
    table = table_of(rows)
    outputs, missing = NumericColumns(COLUMNS).apply(table)
    assert outputs.tobytes() == one_by_one(table).tobytes()
    expected = [[value is None or value != value for value in row] for row in rows]
    assert missing.tolist() == expected


def test_pieces_and_chunks_join_in_the_order_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = [tuple(row) for row in rng.normal(size=(50, len(COLUMNS))).tolist()]
    table = pa.concat_tables([table_of(rows[:13]), table_of(rows[13:])])
    monkeypatch.setattr(numbers, "_PIECE_ROWS", 7)
    outputs, _ = NumericColumns(COLUMNS).apply(table)
    assert outputs.tobytes() == one_by_one(table).tobytes()


def test_truth_values_are_numbers() -> None:
    column = AffineColumn("ok", center=0.0, scale=1.0, fill=0.25, limit=3e38)
    table = pa.table({"ok": [True, False, None]})
    outputs, missing = NumericColumns([column]).apply(table)
    assert outputs.tolist() == [[1.0], [0.0], [0.25]]
    assert missing.tolist() == [[False], [False], [True]]


def test_no_columns_have_rows() -> None:
    table = pa.table({"a": [1.0, 2.0]}).select([])
    outputs, missing = NumericColumns([]).apply(table)
    assert outputs.shape == missing.shape == (2, 0)
