from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.data.columns.hashing import hash_rows, hash_text, hash_values, mix


def test_hashes_are_part_of_the_store_format_and_never_change() -> None:
    table = pa.table({"n": [1.5, None], "s": ["a", None], "b": [True, False]})
    assert hash_text("a") == 0x2F42665B399EF840
    assert mix(np.array([0], dtype=np.uint64)).tolist() == [0xE220A8397B1DCDAF]
    assert hash_rows(table, seed=7).tolist() == [3009317475791918639, 822854479235472845]


def test_numbers_hash_by_value() -> None:
    whole = hash_values(pa.chunked_array([[1, 0]]))
    floats = hash_values(pa.chunked_array([[1.0, -0.0]]))
    decimals = hash_values(pa.chunked_array([[Decimal("1.0"), Decimal(0)]]))
    assert whole.tolist() == floats.tolist() == decimals.tolist()


def test_missing_differs_from_zero_empty_and_false() -> None:
    for values in ([0.0, None], ["", None], [False, None]):
        zero, missing = hash_values(pa.chunked_array([values]))
        assert zero != missing


@pytest.mark.parametrize("kind", [pa.dictionary(pa.int8(), pa.string()), pa.large_string()])
def test_text_hashes_alike_in_every_encoding(kind: pa.DataType) -> None:
    text = pa.chunked_array([["a", None, "b"]])
    assert hash_values(text.cast(kind)).tolist() == hash_values(text).tolist()


def test_nested_columns_add_nothing() -> None:
    nested = pa.chunked_array([[[1], [2]]])
    assert len(set(hash_values(nested).tolist())) == 1


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("ab")), min_size=1), st.integers(0, 9))
def test_a_row_hashes_alike_wherever_it_lies(rows: list[tuple[int, str]], at: int) -> None:
    table = pa.table({"n": [n for n, _ in rows], "s": [s for _, s in rows]})
    parts = pa.concat_tables([table.slice(0, at), table.slice(at)])
    alone = [int(hash_rows(table.slice(i, 1))[0]) for i in range(len(rows))]
    assert hash_rows(table).tolist() == hash_rows(parts).tolist() == alone
    assert len(set(alone)) == len(set(rows))


def test_the_seed_and_the_place_of_a_column_matter() -> None:
    table = pa.table({"a": [1, 2], "b": [2, 1]})
    first, second = hash_rows(table)
    assert first != second
    assert hash_rows(table, seed=1)[0] != first
    assert hash_rows(table, seed=-1)[0] != first
