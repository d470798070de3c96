from __future__ import annotations

import pytest

from rayml.data.columns.origin import RESERVED, WORKING, check_names
from rayml.errors import SourceError


def test_names_that_differ_are_fine() -> None:
    check_names(["a", "A", "a "])


@pytest.mark.parametrize("names", [["a", ""], ["a", "b", "a"], ["a", RESERVED[0]], ["a", *WORKING]])
def test_other_names_are_an_error(names: list[str]) -> None:
    with pytest.raises(SourceError):
        check_names(names)
