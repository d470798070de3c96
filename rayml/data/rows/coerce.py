"""Divides raw rows into typed rows and bad rows, by the schema."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rayml.data.columns.kinds import EXPECTED, Mask, parse, plain
from rayml.data.columns.origin import FILE, LINE, MALFORMED, RESERVED
from rayml.data.columns.privacy import MASK
from rayml.data.columns.schema import FeatureSchema
from rayml.data.columns.split_names import named_splits
from rayml.errors import SchemaError

BAD_ROWS = pa.schema(
    [
        ("file", pa.string()),
        ("line", pa.int64()),
        ("column", pa.string()),
        ("value", pa.string()),
        ("reason", pa.string()),
        ("row", pa.string()),
    ]
)
"""A bad row: its file and line, the first wrong column, its value, the reason, and the raw row as
JSON. File, line, column and value are null if they are not known; values of private columns are
masked."""


class Coercer:
    """Reads raw rows by a schema.

    A row is bad if its source cannot read it, if a value is not of its column's kind, or if the
    target, or a column that the split needs, is missing.

    Args:
        schema: of the rows.
        required: columns whose values may not be missing.
        given: the column that names the split of a row, if one does.
    """

    def __init__(
        self, schema: FeatureSchema, *, required: Sequence[str], given: str | None = None
    ) -> None:
        self._columns = schema.read()
        self._missing = schema.missing
        self._required = tuple(dict.fromkeys(required))
        self._given = given
        self._private = schema.private

    def __call__(self, raw: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Read rows.

        Returns:
            The good rows, typed, with the columns that the schema reads; and the bad rows, see
            `BAD_ROWS`.

        Raises:
            SchemaError: a column is absent, or its type does not suit its kind.
        """
        findings = _Findings(raw, self._private)
        if MALFORMED in raw.column_names:
            findings.add_malformed(plain(raw.column(MALFORMED)))
        typed, names = {}, set(raw.column_names)
        for column in self._columns:
            if column.name not in names:
                raise SchemaError(
                    f"a part of the source lacks the column {column.name!r}",
                    found=raw.column_names,
                    remedy="Add it, or list it in data.schema.ignore",
                )
            typed[column.name], misfit = parse(raw.column(column.name), column.kind, self._missing)
            findings.add(misfit, column.name, EXPECTED[column.kind])
        for name in self._required:
            missing = typed[name].is_null().to_numpy(zero_copy_only=False)
            findings.add(missing, name, "is missing")
        if self._given is not None:
            unknown = named_splits(typed[self._given]) < 0
            findings.add(unknown, self._given, "is none of train, validation, test")
        table = pa.table(typed)
        if findings.bad.any():
            table = table.filter(pa.array(~findings.bad))
        return table, findings.table()


class _Findings:
    """The first problem of each row."""

    def __init__(self, raw: pa.Table, private: Sequence[str]) -> None:
        self._raw = raw
        self._private = private
        self._parts: list[pa.Table] = []
        self.bad: Mask = np.zeros(raw.num_rows, dtype=np.bool_)

    def add(self, wrong: Mask, column: str, reason: str) -> None:
        rows = self._new(wrong)
        if len(rows):
            found = _listed(self._raw.column(column).take(pa.array(rows)))
            values = [None if value is None else str(value) for value in found]
            if column in self._private:
                values = [value and MASK for value in values]
            self._parts.append(self._part(rows, column, values, [reason] * len(rows)))

    def add_malformed(self, reasons: pa.Array) -> None:
        rows = self._new(reasons.is_valid().to_numpy(zero_copy_only=False))
        if len(rows):
            texts = reasons.take(pa.array(rows)).to_pylist()
            if self._private:
                texts = [text.split(": ")[0] for text in texts]  # without the line itself
            self._parts.append(self._part(rows, None, [None] * len(rows), texts))

    def table(self) -> pa.Table:
        return pa.concat_tables([BAD_ROWS.empty_table(), *self._parts])

    def _new(self, wrong: Mask) -> npt.NDArray[np.int64]:
        rows = np.flatnonzero(wrong & ~self.bad)
        self.bad[rows] = True
        return rows

    def _part(
        self,
        rows: npt.NDArray[np.int64],
        column: str | None,
        values: Sequence[str | None],
        reasons: Sequence[str],
    ) -> pa.Table:
        raw = self._raw.take(pa.array(rows))
        names = [name for name in raw.column_names if name not in RESERVED]
        content = zip(
            *(
                [MASK] * len(rows) if name in self._private else _listed(raw.column(name))
                for name in names
            ),
            strict=True,
        )
        return pa.table(
            {
                "file": _reserved(raw, FILE),
                "line": _reserved(raw, LINE),
                "column": [column] * len(rows),
                "value": values,
                "reason": reasons,
                "row": [
                    json.dumps(dict(zip(names, row, strict=True)), default=str) for row in content
                ],
            },
            schema=BAD_ROWS,
        )


def _reserved(raw: pa.Table, name: str) -> list[object]:
    return raw.column(name).to_pylist() if name in raw.column_names else [None] * raw.num_rows


def _listed(column: pa.ChunkedArray) -> list[object]:
    """Values of Python; times as text, since Python lacks some of Arrow's times."""
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        times = plain(column)
        column = times.cast(pa.int64()).cast(pa.timestamp(times.type.unit)).cast(pa.string())
    listed: list[object] = column.to_pylist()
    return listed
