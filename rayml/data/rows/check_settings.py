"""Checks that the settings of a schema suit the columns of the data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rayml.data.columns.nearest import did_you_mean
from rayml.data.columns.repeated import repeated
from rayml.errors import SchemaError
from rayml.settings.data import SchemaSettings

_TAB = """$'data.source.csv.delimiter="\\t"'"""  # as bash takes it


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
    twice = repeated(columns)
    if twice:
        raise SchemaError(
            "several columns have the same name", found=twice, remedy="Rename the columns"
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
    if settings.kinds.get(target) == "text":
        raise SchemaError(
            f"data.schema.kinds makes the target {target!r} text, and no task predicts texts",
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
