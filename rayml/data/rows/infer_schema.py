"""Infers the feature schema from a sample of rows and what the user says of the columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayml.data.columns.identifiers import IDENTIFIER, reason_to_leave_out
from rayml.data.columns.kinds import matches_number, parse, plain, readable, without_tokens
from rayml.data.columns.privacy import looks_like_identifier
from rayml.data.columns.schema import Column, ColumnSummary, FeatureSchema, Role
from rayml.errors import SchemaError
from rayml.types import Kind, SchemaSettings

MISFITS = 0.05
"""Share of a text column's values that may be no number, truth value or time where the rest are:
these are bad rows, rather than a reason to take the whole column as categorical."""

_WORDS = pa.array(["true", "false", "yes", "no"])
_EXAMPLES = 4
_TAB = """$'data.source.csv.delimiter="\\t"'"""  # as bash takes it
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
    target stay as they are written, unless they are numbers. Columns with a single value,
    and those that name rows (see `rayml.data.columns.identifiers`), are ignored with a note, unless
    `settings.kinds` names them.

    Args:
        sample: rows of the raw table, without the reserved columns of a source.
        target: the column that is predicted.
        settings: what the user says.
        reserved: columns that are read as categories but are no features.
        carry: columns that are read whether they are features or not.
        missing: texts that the source takes as missing values; those of the settings come
            besides.
        index: columns that the source says are the index of a pandas table.
        rows: of the whole table; None where only the sample is known.

    Raises:
        SchemaError: a named column is not there, a kind does not fit its column's type, a column
            has no kind, or no feature is left.
    """
    check_settings(sample.column_names, target, settings, reserved, carry)
    if settings.missing:  # the source has seen to its own
        sample = _without_tokens(sample, settings.missing)
    overridden: dict[str, Kind] = {**settings.kinds, **dict.fromkeys(reserved, "categorical")}
    kinds: dict[str, Kind] = {}
    notes: dict[str, str] = {}
    features: list[Column] = []
    unread = {*settings.ignore} - {*settings.groups, *reserved, *carry}
    for name in sample.column_names:
        if name in unread:
            continue
        values = plain(sample.column(name))
        kinds[name] = _kind(name, values, overridden.get(name), label=name == target)
        if name == target or name in reserved or name in settings.ignore:
            continue
        if name not in settings.kinds:
            notes[name] = _reason_to_ignore(values)
        if name not in (*settings.kinds, *carry):
            notes[name] = notes[name] or reason_to_leave_out(
                name, values, kinds[name], index=name in index, rows=rows
            )
        if not notes.get(name):
            features.append(Column(name, kinds[name]))
    if not features:
        raise SchemaError(
            "a dataset has at least one feature",
            found=sample.column_names,
            remedy="Name the kinds of columns to use in schema.kinds",
        )
    used = {column.name for column in features}
    identifiers = tuple(
        name
        for name in used
        if looks_like_identifier(name, plain(sample.column(name)), kinds[name])
    )
    named = (name for name, note in notes.items() if note == IDENTIFIER)
    hidden = {*identifiers, *named, *settings.private}
    extra = [n for n in dict.fromkeys((*settings.groups, *reserved, *carry)) if n not in used]
    roles = _roles(sample.column_names, target, settings, reserved, carry, used)
    return FeatureSchema(
        columns=tuple(features),
        target=target,
        target_kind=kinds[target],
        groups=tuple(settings.groups),
        carried=tuple(Column(name, kinds[name]) for name in extra),
        ignored=tuple(name for name in sample.column_names if roles[name] == ("ignored",)),
        summaries=tuple(
            _summary(n, sample, kinds, roles[n], notes, hidden=n in hidden)
            for n in sample.column_names
        ),
        sampled=sample.num_rows,
        missing=tuple(dict.fromkeys((*missing, *settings.missing))),
        private=tuple(settings.private),
        identifiers=tuple(sorted(identifiers)),
        max_published=settings.max_published,
    )


def _without_tokens(sample: pa.Table, tokens: Sequence[str]) -> pa.Table:
    for place, name in enumerate(sample.column_names):
        values = plain(sample.column(place))
        if pa.types.is_string(values.type):
            sample = sample.set_column(place, name, without_tokens(values, tokens))
    return sample


def check_settings(
    columns: Sequence[str],
    target: str,
    settings: SchemaSettings,
    reserved: Sequence[str] = (),
    carry: Sequence[str] = (),
) -> None:
    """Check that settings speak of columns as they are; arguments as of `infer_schema`.

    Raises:
        SchemaError: they do not.
    """
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise SchemaError("column names do not repeat", found=repeated, remedy="Rename the columns")
    places: dict[str, Iterable[str]] = {
        "target": (target,),
        "schema.kinds": settings.kinds,
        "schema.ignore": settings.ignore,
        "schema.groups": settings.groups,
        "schema.private": settings.private,
        "split.column": (*reserved, *carry),
    }
    for place, names in places.items():
        unknown = [name for name in names if name not in columns]
        if unknown:
            raise SchemaError(
                f"{place} names columns of the data",
                found=unknown[0] if len(unknown) == 1 else unknown,
                remedy=_other_delimiter(columns) or f"There are: {', '.join(columns)}",
            )
    for name in reserved:
        if settings.kinds.get(name, "categorical") != "categorical":
            raise SchemaError(
                "the column of a given or group split is categorical",
                found=f"{name}: {settings.kinds[name]}",
                remedy="Take it out of schema.kinds",
            )
    if target in settings.private:
        raise SchemaError(
            f"the target {target!r} is not private: what is predicted is answered",
            remedy="Take it out of data.schema.private",
        )
    if target in settings.ignore:
        raise SchemaError("the target is not ignored", found=target, remedy="Mend schema.ignore")


def _other_delimiter(columns: Sequence[str]) -> str:
    """What to do where one name holds those of all columns; empty where it does not."""
    counts = {mark: columns[0].count(mark) for mark in ";\t|"} if len(columns) == 1 else {}
    mark = max(counts, key=counts.__getitem__, default="")
    if not counts.get(mark):
        return ""
    said = f"'data.source.csv.delimiter=\"{mark}\"'" if mark != "\t" else _TAB
    return (
        f"There is one column, {columns[0]!r}: if the file has another delimiter, "
        f"say so with {said}"
    )


def _kind(name: str, values: pa.Array, given: Kind | None, *, label: bool) -> Kind:
    kind = given or guess_kind(values)
    if label and not given and kind == "boolean" and pa.types.is_string(values.type):
        kind = "categorical"  # so that predictions speak of yes and no where the data does
    if kind is None:
        raise SchemaError(
            f"column {name!r} holds numbers, text, truth values or times",
            found=str(values.type),
            remedy=f"List it: schema.ignore=[{name}]",
        )
    if not readable(values.type, kind):
        raise SchemaError(
            f"column {name!r} of type {values.type} can be read as {kind}",
            found=str(values.type),
            remedy="Mend schema.kinds",
        )
    return kind


def guess_kind(values: pa.Array) -> Kind | None:
    """Kind of a column by its type, or by its values where they are text.

    Returns:
        None if no kind can be made of the type.
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


def _roles(
    columns: Sequence[str],
    target: str,
    settings: SchemaSettings,
    reserved: Sequence[str],
    carry: Sequence[str],
    used: set[str],
) -> dict[str, tuple[Role, ...]]:
    holders: dict[Role, Iterable[str]] = {
        "feature": used,
        "target": (target,),
        "group": settings.groups,
        "split": reserved,
        "time": carry,
    }
    return {
        name: tuple(role for role, names in holders.items() if name in names) or ("ignored",)
        for name in columns
    }


def _summary(
    name: str,
    sample: pa.Table,
    kinds: dict[str, Kind],
    roles: tuple[Role, ...],
    notes: dict[str, str],
    *,
    hidden: bool,
) -> ColumnSummary:
    values = plain(sample.column(name))
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
