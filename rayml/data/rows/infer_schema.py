"""Infers the feature schema from a sample of rows and the user's settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayml.data.columns.identifiers import IDENTIFIER, reason_to_leave_out
from rayml.data.columns.kinds import matches_number, parse, plain, readable, without_tokens
from rayml.data.columns.nearest import did_you_mean
from rayml.data.columns.privacy import looks_like_identifier
from rayml.data.columns.schema import Column, ColumnSummary, FeatureSchema, Role
from rayml.errors import SchemaError
from rayml.types import Kind, SchemaSettings

MISFITS = 0.05
"""Share of a text column's values that may differ from the kind of the rest: they make bad rows,
and the column does not become categorical."""

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
    kinds = _kinds(sample, target, settings, reserved, carry)
    candidates = [
        name for name in kinds if name not in (target, *reserved) and name not in settings.ignore
    ]
    notes = {
        name: _note(name, sample, kinds[name], settings, carry, index=name in index, rows=rows)
        for name in candidates
    }
    used = [name for name in candidates if not notes[name]]
    if not used:
        raise SchemaError(
            "no column is left as a feature",
            found=sample.column_names,
            remedy="Name the kinds of columns to use in data.schema.kinds",
        )
    identifiers = sorted(
        name
        for name in used
        if looks_like_identifier(name, plain(sample.column(name)), kinds[name])
    )
    named = (name for name, note in notes.items() if note == IDENTIFIER)
    hidden = {*identifiers, *named, *settings.private}
    extra = [n for n in dict.fromkeys((*settings.groups, *reserved, *carry)) if n not in used]
    roles = _roles(sample.column_names, target, settings, reserved, carry, used)
    return FeatureSchema(
        columns=tuple(Column(name, kinds[name]) for name in used),
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
        identifiers=tuple(identifiers),
        max_published=settings.max_published,
    )


def _kinds(
    sample: pa.Table,
    target: str,
    settings: SchemaSettings,
    reserved: Sequence[str],
    carry: Sequence[str],
) -> dict[str, Kind]:
    """The kinds of the columns that are read, in the order of the table."""
    given: dict[str, Kind] = {**settings.kinds, **dict.fromkeys(reserved, "categorical")}
    unread = {*settings.ignore} - {*settings.groups, *reserved, *carry}
    return {
        name: _kind(name, plain(sample.column(name)), given.get(name), label=name == target)
        for name in sample.column_names
        if name not in unread
    }


def _note(
    name: str,
    sample: pa.Table,
    kind: Kind,
    settings: SchemaSettings,
    carry: Sequence[str],
    *,
    index: bool,
    rows: int | None,
) -> str:
    """Why a column is not a feature; empty if it is one."""
    if name in settings.kinds:
        return ""
    values = plain(sample.column(name))
    reason = _reason_to_ignore(values)
    if reason or name in carry:
        return reason
    return reason_to_leave_out(name, values, kind, index=index, rows=rows)


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
    """Check that settings name columns of the data, for uses that they can have.

    Args:
        columns: names in the data.
        target: see `infer_schema`.
        settings: see `infer_schema`.
        reserved: see `infer_schema`.
        carry: see `infer_schema`.

    Raises:
        SchemaError: they do not.
    """
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise SchemaError(
            "several columns have the same name", found=repeated, remedy="Rename the columns"
        )
    places: dict[str, Iterable[str]] = {
        "data.target": (target,),
        "data.schema.kinds": settings.kinds,
        "data.schema.ignore": settings.ignore,
        "data.schema.groups": settings.groups,
        "data.schema.private": settings.private,
        "data.split.column": (*reserved, *carry),
    }
    for place, names in places.items():
        if unknown := [name for name in names if name not in columns]:
            raise _absent(place, unknown, columns)
    for name in reserved:
        if settings.kinds.get(name, "categorical") != "categorical":
            raise SchemaError(
                f"data.schema.kinds makes column {name!r} {settings.kinds[name]}, and it names"
                " splits or groups",
                remedy="Remove it from data.schema.kinds",
            )
    if target in settings.private:
        raise SchemaError(
            f"the target {target!r} is private, and answers contain it",
            remedy="Remove it from data.schema.private",
        )
    if target in settings.ignore:
        raise SchemaError(
            f"the target {target!r} is ignored", remedy="Remove it from data.schema.ignore"
        )


def _absent(place: str, unknown: Sequence[str], columns: Sequence[str]) -> SchemaError:
    listed_names = ", ".join(map(repr, unknown))
    what = "a column that the data lack" if len(unknown) == 1 else "columns that the data lack"
    near = did_you_mean(unknown[0], columns)
    return SchemaError(
        f"{place} names {what}: {listed_names}",
        remedy=_other_delimiter(columns) or f"{near}The columns are {', '.join(columns)}",
    )


def _other_delimiter(columns: Sequence[str]) -> str:
    """A remedy if one name holds the names of all columns; empty if it does not."""
    counts = {mark: columns[0].count(mark) for mark in ";\t|"} if len(columns) == 1 else {}
    mark = max(counts, key=counts.__getitem__, default="")
    if not counts.get(mark):
        return ""
    override = f"'data.source.csv.delimiter=\"{mark}\"'" if mark != "\t" else _TAB
    return f"There is one column, {columns[0]!r}: if the file has another delimiter, set {override}"


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


def _roles(
    columns: Sequence[str],
    target: str,
    settings: SchemaSettings,
    reserved: Sequence[str],
    carry: Sequence[str],
    used: Sequence[str],
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
