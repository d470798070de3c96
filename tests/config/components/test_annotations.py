"""Plain values against declared types, given as types or as their text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest

from rayml.config.components.annotations import fits

FITS = [
    (3, int),
    (3, "int"),
    (3, float),
    (0.5, "float"),
    (None, "int | None"),
    (3, "int | None"),
    (3, int | None),
    (None, Optional[int]),  # noqa: UP045
    ("a", "str"),
    ("a", Path),
    (True, bool),
    (["a"], "Sequence[str]"),
    (["a"], Sequence[str]),
    ([1, 2], "tuple[int, ...]"),
    ({"a": ["b"]}, "Mapping[str, str | Sequence[str]]"),
    ({"a": 1}, dict[str, int]),
    ("csv", 'Literal["csv", "parquet"]'),
    ("csv", Literal["csv", "parquet"]),
    (3, Annotated[int, "positive"]),
    (3, "Annotated[int, Field(gt=0)]"),
    (3, "'int'"),
    # Nothing is known of these, and plain they are.
    (3, "CsvSettings"),
    ([3], Any),
    (3, "torch.device | str"),
    (3, "what is this"),
]
MISFITS = [
    ("3", int),
    (True, "int"),
    (3.0, int),
    (None, "int"),
    ("a", float),
    (True, float),
    (1, "bool"),
    (3, str),
    ("ab", "list[str]"),
    ([1], "Sequence[str]"),
    (["a"], tuple[int, ...]),
    ({"a": 1}, "Mapping[str, str]"),
    (["a"], Mapping[str, str]),
    ("tsv", Literal["csv", "parquet"]),
    (True, "Literal[1]"),
    ("a", "int | float | None"),
    ("a", Annotated[int, "positive"]),
]


@pytest.mark.parametrize(("value", "annotation"), FITS)
def test_fits(value: object, annotation: object) -> None:
    assert fits(value, annotation)


@pytest.mark.parametrize(("value", "annotation"), MISFITS)
def test_misfits(value: object, annotation: object) -> None:
    assert not fits(value, annotation)
