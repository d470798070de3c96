"""The interface of a source of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import ray.data

    from rayml.data.delimited.dialect import CsvSettings


@runtime_checkable
class Source(Protocol):
    """A table that can be read, with a fingerprint of its rows.

    Both methods may raise `SourceError`; `read` also while its dataset is consumed. A source may
    have three attributes: `missing`, the texts that it reads as missing values; `index_columns`,
    names of columns that are the index of a pandas table; and `gives_splits`, whether its column
    `split` names the split of each row.
    """

    def fingerprint(self) -> str:
        """Text that changes when the rows change; it holds no secret."""

    def read(self) -> ray.data.Dataset:
        """Raw rows of all columns of the table.

        Columns have their natural Arrow types, or are all strings if the source is text;
        missing values are null. The columns of `origin.RESERVED` may be added.
        """


@runtime_checkable
class CsvSource(Protocol):
    """A source of CSV files.

    A bundle of a model that was trained on it keeps the dialect, to read files of rows with.
    """

    @property
    def dialect(self) -> CsvSettings | None:
        """Dialect of its files; None if they are not CSV."""


def gives_splits(source: Source) -> bool:
    """Whether the column `split` of a source names the split of each row."""
    return bool(getattr(source, "gives_splits", False))


def missing_tokens(source: Source) -> tuple[str, ...]:
    """Texts that a source reads as missing values; empty if it names none."""
    own = getattr(source, "missing", None)
    if own is not None:
        return tuple(own)
    dialect = source.dialect if isinstance(source, CsvSource) else None
    return () if dialect is None else dialect.nulls
