"""The contract of sources: rayml's own keep it, and one that breaks a part fails that check."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from rayml.data.sources.bundled import SklearnSource
from rayml.data.sources.files import FileSource
from rayml.testing.contract import check_contract
from rayml.testing.sources import SourceTests

pytestmark = pytest.mark.usefixtures("ray_session")


def contract_of(make: Any, make_other: Any) -> SourceTests:
    class Tests(SourceTests):
        def make(self) -> Any:
            return make()

        def make_other(self) -> Any:
            return make_other()

    return Tests()


def test_rayml_s_own_keep_it(tmp_path: Path) -> None:
    for name, last in (("one", 3), ("other", 4)):
        (tmp_path / name).mkdir()
        for part in range(2):
            (tmp_path / name / f"{part}.csv").write_text(f"a,b\n1,x\n2,y\n{last},z\n")
    check_contract(
        contract_of(
            lambda: FileSource(str(tmp_path / "one"), format="csv"),
            lambda: FileSource(str(tmp_path / "other"), format="csv"),
        )
    )
    check_contract(contract_of(lambda: SklearnSource("wine"), lambda: SklearnSource("iris")))


class Rows:
    """Two blocks of rows in memory."""

    calls = itertools.count()

    def __init__(self, last: float = 3.0) -> None:
        self.last = last

    def fingerprint(self) -> str:
        return f"rows to {self.last}"

    def tables(self) -> list[pa.Table]:
        return [pa.table({"a": [1.0, 2.0]}), pa.table({"a": [self.last]})]

    def read(self) -> Any:
        import ray.data

        return ray.data.from_arrow(self.tables())


class Wanders(Rows):
    def fingerprint(self) -> str:
        return f"rows {next(self.calls)}"


class Blind(Rows):
    def fingerprint(self) -> str:
        return "rows"


class Grows(Rows):
    def tables(self) -> list[pa.Table]:
        return [pa.table({"a": [float(next(self.calls))]})]


class Mixed(Rows):
    def tables(self) -> list[pa.Table]:
        return [pa.table({"a": [1, 2]}), pa.table({"a": [self.last]})]


class Nested(Rows):
    def tables(self) -> list[pa.Table]:
        return [pa.table({"a": [[self.last]]})]


BROKEN = {
    "test_its_fingerprint_is_a_text_that_stays": (Wanders, "though the rows have not"),
    "test_its_fingerprint_changes_with_its_rows": (Blind, "and the fingerprint has not"),
    "test_it_reads_the_same_rows_each_time": (Grows, "read again, it has other rows"),
    "test_the_order_of_its_blocks_does_not_matter": (Mixed, "have 2 different schemas"),
    "test_columns_have_names_and_natural_types": (Nested, "column a holds list"),
}


def test_a_source_in_memory_keeps_it() -> None:
    check_contract(contract_of(Rows, lambda: Rows(4.0)))


@pytest.mark.parametrize("check", BROKEN)
def test_what_breaks_the_contract_fails_its_check(check: str) -> None:
    kind, words = BROKEN[check]
    with pytest.raises(AssertionError, match=words):
        getattr(contract_of(kind, lambda: kind(4.0)), check)()


def test_every_check_can_fail() -> None:
    assert set(BROKEN) == {name for name in dir(SourceTests) if name.startswith("test_")}
