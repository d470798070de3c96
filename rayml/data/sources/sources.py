"""What a source of rows is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import ray.data

    from rayml.data.delimited.dialect import CsvSettings


@runtime_checkable
class Source(Protocol):
    """A table that can be read, and that can tell whether it is still the same.

    Both methods may raise `SourceError`; `read` also while its dataset is consumed. A source may
    have an attribute `missing`: the texts that it reads as missing values; `index_columns`, names
    of columns that are the index of a pandas table; and
    `gives_splits`, whether its column `split` tells which rows train, validate and test.
    """

    def fingerprint(self) -> str:
        """Text that changes when the rows change; it holds no secret."""

    def read(self) -> ray.data.Dataset:
        """Raw rows, one column a column of the table.

        Columns have their natural Arrow types, or are all strings if the source is text;
        missing values are null. The columns of `origin.RESERVED` may come besides.
        """


@runtime_checkable
class CsvSource(Protocol):
    """A source of CSV files, which tells how they are written.

    A bundle of a model that was trained on it keeps that, and files to predict are read alike.
    """

    @property
    def dialect(self) -> CsvSettings | None:
        """How its files are written; None if they are no CSV."""


def missing_tokens(source: Source) -> tuple[str, ...]:
    """Texts that a source reads as missing values; none of one that does not say."""
    own = getattr(source, "missing", None)
    if own is not None:
        return tuple(own)
    dialect = source.dialect if isinstance(source, CsvSource) else None
    return () if dialect is None else dialect.nulls
