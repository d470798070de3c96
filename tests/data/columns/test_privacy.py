from __future__ import annotations

import pyarrow as pa
import pytest

from rayml.data.columns.privacy import looks_like_identifier, named_like_identifier
from rayml.types import Kind

MANY = [f"v{number}" for number in range(200)]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("id", True),
        ("customer_id", True),
        ("customerId", True),
        ("Customer ID", True),
        ("user-uuid", True),
        ("paid", False),
        ("grid", False),
        ("identity", False),
        ("age", False),
    ],
)
def test_names_of_identifiers(name: str, found: bool) -> None:
    assert named_like_identifier(name, "categorical", 2) == found
    assert not named_like_identifier(name, "boolean", 2)


def test_a_contact_names_people_where_there_are_many() -> None:
    for name in ("e-mail", "phone_number", "First Name"):
        assert named_like_identifier(name, "categorical", 20)
        assert not named_like_identifier(name, "categorical", 2)


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        (MANY, "categorical", True),
        (MANY[:40], "categorical", False),
        (MANY * 2, "categorical", False),
        (list(range(200)), "numeric", True),
        ([str(number) for number in range(200)], "numeric", True),
        ([*range(199), 0], "numeric", False),
        ([number + 0.5 for number in range(200)], "numeric", False),
        ([True, False] * 50, "boolean", False),
        ([None] * 100, "numeric", False),
    ],
)
def test_values_that_hardly_repeat(values: list, kind: Kind, found: bool) -> None:
    assert looks_like_identifier("column", pa.array(values), kind) == found
