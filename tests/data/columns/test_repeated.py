"""Names that occur twice, whatever their order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rayml.data.columns.repeated import repeated


@given(st.lists(st.sampled_from("abcdefgh")))
def test_each_repeated_name_is_named_once(names: list[str]) -> None:
    assert repeated(names) == sorted({name for name in names if names.count(name) > 1})
