"""The feature schema: the columns of a dataset, their kinds and their roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rayml.types import Kind

Role = Literal["feature", "target", "group", "split", "time", "ignored"]

_HEAD = ("column", "kind", "role", "values", "missing", "distinct", "note")


@dataclass(frozen=True, slots=True)
class Column:
    """A column and the kind of its values."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class ColumnSummary:
    """A column of the raw table in the sample that the schema was inferred from.

    Attributes:
        name: of the column.
        kind: of its values; None for an ignored column.
        roles: its uses.
        examples: a few values.
        missing: number of missing values in the sample.
        distinct: number of different values in the sample.
        note: why rayml does not use the column; empty if it does, or the user ignores it.
        inferred: kind that an ignored column would have as a feature; None if it was not inferred.
    """

    name: str
    kind: Kind | None
    roles: tuple[Role, ...]
    examples: tuple[str, ...]
    missing: int
    distinct: int
    note: str = ""
    inferred: Kind | None = None

    def cells(self) -> tuple[str, ...]:
        """The row of a table for people, in the order of `FeatureSchema.head`."""
        return (
            self.name,
            self.kind or "",
            " ".join(self.roles),
            ", ".join(self.examples),
            str(self.missing),
            str(self.distinct),
            self.note,
        )


@dataclass(frozen=True)
class FeatureSchema:
    """Columns of a dataset by their use.

    Attributes:
        columns: the features.
        target: name of the column that is predicted.
        target_kind: kind of the target's values.
        groups: columns whose values are groups when fairness is measured; they may be features
            too.
        carried: columns that are read besides features and target: groups, and the column that
            decides the split.
        ignored: columns that are not read.
        summaries: of each column of the raw table, in its order.
        sampled: number of rows in the sample.
        missing: texts that mean a missing value.
        private: columns whose values are shown nowhere.
        identifiers: features that look like identifiers.
        max_published: see `SchemaSettings`.
    """

    columns: tuple[Column, ...]
    target: str
    target_kind: Kind
    groups: tuple[str, ...] = ()
    carried: tuple[Column, ...] = ()
    ignored: tuple[str, ...] = ()
    summaries: tuple[ColumnSummary, ...] = ()
    sampled: int = 0
    missing: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    max_published: int = 100

    def read(self) -> tuple[Column, ...]:
        """All columns that are read: features, target, carried ones."""
        return (*self.columns, Column(self.target, self.target_kind), *self.carried)

    @property
    def hidden(self) -> frozenset[str]:
        """Columns whose values are not shown: private ones and identifiers."""
        return frozenset((*self.private, *self.identifiers))

    def distinct(self, name: str) -> int:
        """Number of different values of a column in the sample."""
        return next((each.distinct for each in self.summaries if each.name == name), 0)

    @property
    def head(self) -> tuple[str, ...]:
        """Headings of `rows`."""
        return _HEAD

    def rows(self) -> list[tuple[str, ...]]:
        """One row of text for each column of the raw table, to show as a table."""
        return [summary.cells() for summary in self.summaries]

    def __str__(self) -> str:
        rows = [_HEAD, *self.rows()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
        lines = ("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in rows)
        return "\n".join(line.rstrip() for line in lines)

    def to_json(self) -> dict[str, Any]:
        """The schema as a value of JSON."""
        return {
            "columns": _columns_to_json(self.columns),
            "target": self.target,
            "target_kind": self.target_kind,
            "groups": list(self.groups),
            "carried": _columns_to_json(self.carried),
            "ignored": list(self.ignored),
            "sampled": self.sampled,
            "missing": list(self.missing),
            "private": list(self.private),
            "identifiers": list(self.identifiers),
            "max_published": self.max_published,
            "summaries": [
                {name: getattr(summary, name) for name in ColumnSummary.__slots__}
                for summary in self.summaries
            ],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FeatureSchema:
        """Restore what `to_json` gave."""
        return cls(
            columns=_columns_from_json(value["columns"]),
            target=value["target"],
            target_kind=value["target_kind"],
            groups=tuple(value["groups"]),
            carried=_columns_from_json(value["carried"]),
            ignored=tuple(value["ignored"]),
            sampled=value["sampled"],
            missing=tuple(value.get("missing", ())),
            private=tuple(value.get("private", ())),
            identifiers=tuple(value.get("identifiers", ())),
            max_published=value.get("max_published", 100),
            summaries=tuple(_summary_from_json(row) for row in value["summaries"]),
        )


def _summary_from_json(value: Mapping[str, Any]) -> ColumnSummary:
    lists = {"roles": tuple(value["roles"]), "examples": tuple(value["examples"])}
    return ColumnSummary(**{**value, **lists})


def _columns_to_json(columns: Sequence[Column]) -> list[dict[str, str]]:
    return [{"name": column.name, "kind": column.kind} for column in columns]


def _columns_from_json(value: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    return tuple(Column(column["name"], column["kind"]) for column in value)
