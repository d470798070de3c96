"""What rayml expects of a source of rows, as tests for its author; they need Ray.

A class of tests that pytest collects:

    class TestMine(SourceTests):
        def make(self):
            return Mine("rows.db")

        def make_other(self):
            return Mine("rows-with-one-more.db")
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pyarrow as pa

from rayml.data.sources.sources import Source


class SourceTests:
    """The contract of a source; subclass it and give `make` and `make_other`."""

    def make(self) -> Source:
        """The source under test."""
        raise NotImplementedError

    def make_other(self) -> Source:
        """The same source after a row was changed, added or removed."""
        raise NotImplementedError

    def test_its_fingerprint_is_a_text_that_stays(self) -> None:
        """Prepared data are found by it: it depends on the rows and on nothing else."""
        one, other = self.make(), self.make()
        first = one.fingerprint()
        assert isinstance(first, str), f"fingerprint gives a {type(first).__name__}"
        assert first, "the fingerprint is empty"
        self._rows(one)
        assert first == one.fingerprint() == other.fingerprint(), (
            "the fingerprint changes though the rows have not"
        )

    def test_its_fingerprint_changes_with_its_rows(self) -> None:
        """Otherwise a changed source would be taken as prepared."""
        one, other = self.make(), self.make_other()
        assert self._rows(one) != self._rows(other), "make_other has the same rows as make"
        assert one.fingerprint() != other.fingerprint(), (
            "the rows have changed and the fingerprint has not"
        )

    def test_it_reads_the_same_rows_each_time(self) -> None:
        """A sweep that is resumed prepares its data again; blocks may come in any order."""
        source = self.make()
        assert self._rows(source) == self._rows(source) == self._rows(self.make()), (
            "read again, it has other rows"
        )

    def test_the_order_of_its_blocks_does_not_matter(self) -> None:
        """All blocks have the same columns and types, so that any of them may come first."""
        blocks = self._blocks(self.make())
        assert any(block.num_rows for block in blocks), "it has no rows"
        schemas = {
            tuple(zip(b.schema.names, map(str, b.schema.types), strict=True)) for b in blocks
        }
        assert len(schemas) == 1, f"its blocks have {len(schemas)} different schemas"

    def test_columns_have_names_and_natural_types(self) -> None:
        """Numbers, texts, truth values and times; a column of others cannot be prepared."""
        schema = self._blocks(self.make())[0].schema
        assert len(set(schema.names)) == len(schema.names), "two columns have one name"
        for field in schema:
            assert field.name, "a column has no name"
            assert not pa.types.is_nested(field.type), f"column {field.name} holds {field.type}"

    def _blocks(self, source: Source) -> list[pa.Table]:
        found = list(source.read().iter_batches(batch_size=None, batch_format="pyarrow"))
        assert found, "it has no rows"
        return found

    def _rows(self, source: Source) -> Counter[str]:
        rows: Counter[str] = Counter()
        for block in self._blocks(source):
            rows.update(_text(row) for row in block.to_pylist())
        return rows


def _text(row: dict[str, Any]) -> str:
    return json.dumps(row, sort_keys=True, default=str)
