"""Infers the feature schema from a sample of rows and the user's settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayml.data.columns.identifiers import IDENTIFIER, reason_to_leave_out
from rayml.data.columns.kinds import matches_number, parse, plain, readable, without_tokens
from rayml.data.columns.privacy import looks_like_identifier
from rayml.data.columns.schema import Column, ColumnSummary, FeatureSchema, Role
from rayml.data.rows.check_settings import check_settings
from rayml.errors import SchemaError
from rayml.settings.data import SchemaSettings
from rayml.types import Kind

MISFITS = 0.05
"""Share of a text column's values that may differ from the kind of the rest: they make bad rows,
and the column does not become categorical."""

_WORDS = pa.array(["true", "false", "yes", "no"])
_EXAMPLES = 4
_EXAMPLE_LENGTH = 24


def infer_schema(
    sample: pa.Table,
    *,
    target: str,
    settings: SchemaSettings,
    reserved: Sequence[str] = (),
    carry: Sequence[str] = (),
    missing: Sequence[str] = (),
    index: Sequence[str] = (),
    rows: int | None = None,
) -> FeatureSchema:
    """Infer which columns are features, and their kinds.

    A text column is boolean, numeric or a timestamp if at least 95 % of its values are; text of
    digits with leading zeros, such as postal codes, stays categorical. The labels of a text
    target stay unchanged, unless they are numbers. Columns with a single value, and those that name
    rows (see `rayml.data.columns.identifiers`), are ignored with a note, unless `settings.kinds`
    names them.

    Args:
        sample: rows of the raw table, without the reserved columns of a source.
        target: the column that is predicted.
        settings: the user's.
        reserved: columns that are read as categories and are not features.
        carry: columns that are read whether they are features or not.
        missing: texts that the source takes as missing values; those of the settings are added.
        index: columns that hold the index of a pandas table, by the source.
        rows: of the whole table; None if only the sample is known.

    Raises:
        SchemaError: a named column is absent, a kind does not fit its column's type, a column
            has no kind, or no feature is left.
    """
    check_settings(sample.column_names, target, settings, reserved, carry)
    if settings.missing:  # the source has replaced its own
        sample = _without_tokens(sample, settings.missing)
    table = _Table(sample, target, settings, tuple(reserved), tuple(carry))
    kinds = table.kinds()
    notes = {
        name: table.note(name, kinds[name], index=name in index, rows=rows)
        for name in kinds
        if name not in (target, *reserved, *settings.ignore)
    }
    if all(notes.values()):
        raise SchemaError(
            "no column is left as a feature",
            found=sample.column_names,
            remedy="Name the kinds of columns to use in data.schema.kinds",
        )
    return table.schema(kinds, notes, tuple(dict.fromkeys((*missing, *settings.missing))))


@dataclass(frozen=True)
class _Table:
    """A sample of a table with the uses that settings give to its columns; see `infer_schema`."""

    sample: pa.Table
    target: str
    settings: SchemaSettings
    reserved: tuple[str, ...]
    carry: tuple[str, ...]

    def kinds(self) -> dict[str, Kind]:
        """The kinds of the columns that are read, in the order of the table."""
        settings = self.settings
        given: dict[str, Kind] = {
            **settings.kinds,
            **dict.fromkeys(self.reserved, "categorical"),
        }
        unread = {*settings.ignore} - {*settings.groups, *self.reserved, *self.carry}
        return {
            name: _kind(name, self._values(name), given.get(name), label=name == self.target)
            for name in self.sample.column_names
            if name not in unread
        }

    def note(self, name: str, kind: Kind, *, index: bool, rows: int | None) -> str:
        """Why a column is not a feature; empty if it is one."""
        if name in self.settings.kinds:
            return ""
        values = self._values(name)
        reason = _reason_to_ignore(values)
        if reason or name in self.carry:
            return reason
        return reason_to_leave_out(name, values, kind, index=index, rows=rows)

    def schema(
        self, kinds: Mapping[str, Kind], notes: Mapping[str, str], missing: tuple[str, ...]
    ) -> FeatureSchema:
        """The schema by the kinds of columns, and by the notes of those that may be features."""
        settings, names = self.settings, self.sample.column_names
        used = [name for name, note in notes.items() if not note]
        identifiers = sorted(
            name for name in used if looks_like_identifier(name, self._values(name), kinds[name])
        )
        named = (name for name, note in notes.items() if note == IDENTIFIER)
        hidden = {*identifiers, *named, *settings.private}
        read = dict.fromkeys((*settings.groups, *self.reserved, *self.carry))
        roles = self._roles(used)
        return FeatureSchema(
            columns=tuple(Column(name, kinds[name]) for name in used),
            target=self.target,
            target_kind=kinds[self.target],
            groups=tuple(settings.groups),
            carried=tuple(Column(name, kinds[name]) for name in read if name not in used),
            ignored=tuple(name for name in names if roles[name] == ("ignored",)),
            summaries=tuple(
                self._summary(name, kinds, roles[name], notes, hidden=name in hidden)
                for name in names
            ),
            sampled=self.sample.num_rows,
            missing=missing,
            private=tuple(settings.private),
            identifiers=tuple(identifiers),
            max_published=settings.max_published,
        )

    def _values(self, name: str) -> pa.Array:
        return plain(self.sample.column(name))

    def _roles(self, used: Sequence[str]) -> dict[str, tuple[Role, ...]]:
        holders: dict[Role, Iterable[str]] = {
            "feature": set(used),
            "target": (self.target,),
            "group": self.settings.groups,
            "split": self.reserved,
            "time": self.carry,
        }
        return {
            name: tuple(role for role, names in holders.items() if name in names) or ("ignored",)
            for name in self.sample.column_names
        }

    def _summary(
        self,
        name: str,
        kinds: Mapping[str, Kind],
        roles: tuple[Role, ...],
        notes: Mapping[str, str],
        *,
        hidden: bool,
    ) -> ColumnSummary:
        values = self._values(name)
        nested = pa.types.is_nested(values.type)
        present = values.drop_null() if nested else values.drop_null().unique()
        examples = present[: 0 if hidden else _EXAMPLES]
        if pa.types.is_timestamp(values.type):  # Python lacks some of Arrow's times
            examples = parse(examples, "timestamp")[0].drop_null().cast(pa.timestamp("us"))
        shown = (str(value) for value in examples.to_pylist())
        return ColumnSummary(
            name=name,
            kind=None if roles == ("ignored",) else kinds[name],
            roles=roles,
            examples=tuple(t if len(t) <= _EXAMPLE_LENGTH else f"{t[:23]}…" for t in shown),
            missing=values.null_count,
            distinct=len(present),
            note=notes.get(name, ""),
            inferred=kinds.get(name) if roles == ("ignored",) else None,
        )


def _without_tokens(sample: pa.Table, tokens: Sequence[str]) -> pa.Table:
    for place, name in enumerate(sample.column_names):
        values = plain(sample.column(place))
        if pa.types.is_string(values.type):
            sample = sample.set_column(place, name, without_tokens(values, tokens))
    return sample


def _kind(name: str, values: pa.Array, given: Kind | None, *, label: bool) -> Kind:
    kind = given or guess_kind(values)
    if label and not given and kind == "boolean" and pa.types.is_string(values.type):
        kind = "categorical"  # so that predictions are yes and no, as in the data
    if kind is None:
        raise SchemaError(
            f"column {name!r} is of type {values.type}, which is of no kind: numeric, categorical,"
            " boolean or timestamp",
            remedy="List it in data.schema.ignore",
        )
    if not readable(values.type, kind):
        raise SchemaError(
            f"column {name!r} of type {values.type} cannot be read as {kind}",
            remedy="Correct data.schema.kinds",
        )
    return kind


def guess_kind(values: pa.Array) -> Kind | None:
    """Kind of a column by its type, or by its values if they are text.

    Returns:
        None if the type is of no kind.
    """
    if pa.types.is_boolean(values.type):
        return "boolean"
    if pa.types.is_timestamp(values.type):
        return "timestamp"
    if pa.types.is_string(values.type):
        return _guess_text(values.drop_null())
    number = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    return "numeric" if number else None


def _guess_text(text: pa.Array) -> Kind:
    enough = len(text) * (1 - MISFITS)
    if not len(text):
        return "categorical"
    words = pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(text)), _WORDS)
    if pc.sum(words).as_py() >= enough:
        return "boolean"
    if pc.sum(matches_number(text)).as_py() >= enough:
        padded = pc.any(pc.match_substring_regex(text, r"^\s*0\d+\s*$")).as_py()
        return "categorical" if padded else "numeric"
    if len(text) - np.count_nonzero(parse(text, "timestamp")[1]) >= enough:
        return "timestamp"
    return "categorical"


def _reason_to_ignore(values: pa.Array) -> str:
    present = values.drop_null()
    distinct = len(present.unique())
    if distinct == 0:
        return "has no values"
    if distinct == 1 and not values.null_count:
        return "has a single value"
    return ""
