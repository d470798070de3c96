"""The rows of a database query as a source."""

from __future__ import annotations

import datetime
import decimal
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rayml.data.columns.origin import LINE, check_names
from rayml.data.sources.tables import dataset_of
from rayml.errors import SourceError

if TYPE_CHECKING:
    import ray.data
    import sqlalchemy

CHUNK_ROWS = 20_000
_SECRET = re.compile(r"pass|pwd|secret|token|key", re.IGNORECASE)
_NUMBERS = {bool, int, float, decimal.Decimal}
_TIMES = {datetime.date, datetime.datetime}
_TEXTS = {str, uuid.UUID}
_NOTHING = type(None)


@dataclass(frozen=True, slots=True)
class _Content:
    """The columns of a query, and a hash of its rows in any order."""

    schema: pa.Schema
    digest: str


class SqlSource:
    """Rows of a query, from any database that SQLAlchemy has a driver for.

    The query is read twice in chunks of bounded size: once for the fingerprint and the types
    of the columns, then by a worker, which checks that it reads the same rows. So the workers
    must reach the database, and the query must give the same rows each time.

    Types: numbers are int64 or float64 (decimals too), times `timestamp[us, UTC]` (UTC is assumed
    without a time zone), UUIDs and columns of mixed types strings.

    Args:
        url: SQLAlchemy's database URL, such as `sqlite:///file.db` or
            `postgresql://user:password@host/database`. Its user, password and options are
            never part of a message or a fingerprint.
        query: one SELECT, in the database's own SQL.

    Raises:
        SourceError: the URL cannot be used.
    """

    def __init__(self, url: str, query: str) -> None:
        self._url = _parse(url)
        self._query = query

    def fingerprint(self) -> str:
        """Hash of the database's place, the query, and the content of all rows."""
        parts = [_place(self._url), self._query, str(self._content.schema), self._content.digest]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def read(self) -> ray.data.Dataset:
        """Rows in natural types, and `LINE`: the row's number in the database's order."""
        reader = partial(_read, self._url, self._query, self._content)
        schema = self._content.schema.append(pa.field(LINE, pa.int64()))
        return dataset_of("ReadSQL", [reader], schema)

    @cached_property
    def _content(self) -> _Content:
        digest = _Digest()
        types: list[set[type]] = []
        with _rows(self._url, self._query) as (names, chunks):
            for chunk in chunks:
                digest.add(chunk)
                found = [set(map(type, values)) for values in zip(*chunk, strict=True)]
                types = [a | b for a, b in zip(types, found, strict=True)] if types else found
        if not types:
            raise SourceError(
                "the query gives no rows", found=self._query, remedy="Check its conditions"
            )
        columns = zip(names, types, strict=True)
        schema = pa.schema([(name, _arrow_type(name, seen)) for name, seen in columns])
        return _Content(schema, digest.hex())


class _Digest:
    """Hash of a multiset of rows, since a query without ORDER BY gives any order."""

    def __init__(self) -> None:
        self._sum = 0

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        for row in rows:
            one = hashlib.blake2b(repr(tuple(row)).encode(), digest_size=16).digest()
            self._sum += int.from_bytes(one)

    def hex(self) -> str:
        return f"{self._sum % 2**128:032x}"


def _read(url: sqlalchemy.URL, query: str, content: _Content) -> Iterator[pa.Table]:
    digest = _Digest()
    line = 1
    with _rows(url, query) as (names, chunks):
        _check_same(names == content.schema.names, query)
        for chunk in chunks:
            digest.add(chunk)
            table = _table(chunk, content.schema, query)
            lines = pa.array(range(line, line + len(chunk)), pa.int64())
            line += len(chunk)
            yield table.append_column(LINE, lines)
    _check_same(digest.hex() == content.digest, query)


def _check_same(same: bool, query: str) -> None:
    if not same:
        raise SourceError(
            "the query gave other rows when it was read again",
            found=query,
            remedy="Add ORDER BY to a LIMIT, leave out random and current values, and run again",
        )


@contextmanager
def _rows(
    url: sqlalchemy.URL, query: str
) -> Iterator[tuple[list[str], Iterator[Sequence[Sequence[Any]]]]]:
    """Run a query: the names of its columns, and its rows in chunks."""
    import sqlalchemy
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    try:
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:
            # The database's own SQL, so that a colon or a percent sign is not a parameter.
            options = connection.execution_options(yield_per=CHUNK_ROWS, no_parameters=True)
            result = options.exec_driver_sql(query)
            if not result.returns_rows:
                raise SourceError(
                    "the query is not one that gives rows", found=query, remedy="Write a SELECT"
                )
            names = list(result.keys())
            check_names(names)
            yield names, result.partitions(CHUNK_ROWS)
    except ModuleNotFoundError as error:
        raise SourceError(
            f"the driver of the database is not installed ({error.name})",
            remedy="Install it; for PostgreSQL: pip install 'rayml[postgres]'",
        ) from None
    except SQLAlchemyError as error:
        reason = str(error.orig if isinstance(error, DBAPIError) else error)
        raise SourceError(
            f"the query fails on {_place(url)} ({_without_secrets(reason, url)})",
            found=query,
            remedy="Check the database's URL and the query",
        ) from None  # drivers may put the whole URL into the cause


def _parse(text: str) -> sqlalchemy.URL:
    import sqlalchemy
    from sqlalchemy.exc import ArgumentError

    remedy = "Write it as sqlite:///file.db or postgresql://user:password@host/database"
    try:
        url = sqlalchemy.make_url(text)
    except (ArgumentError, ValueError):
        raise SourceError("data.source.url is not a URL of SQLAlchemy", remedy=remedy) from None
    if url.drivername in {"postgresql", "postgres"}:
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite" or (url.database or "").startswith("file:"):
        return url
    if url.database in {None, "", ":memory:"}:
        raise SourceError(
            f"the database {_place(url)} is in memory, where workers cannot open it",
            remedy=remedy,
        )
    path = Path(str(url.database)).expanduser().absolute()  # workers have other folders
    if not path.is_file():  # SQLite would make an empty one
        raise SourceError(f"there is no SQLite database {path}", remedy="Check its path")
    return url.set(database=str(path))


def _place(url: sqlalchemy.URL) -> str:
    """The database without users, passwords and options."""
    port = f":{url.port}" if url.port else ""
    return f"{url.get_backend_name()}://{url.host or ''}{port}/{url.database or ''}"


def _without_secrets(text: str, url: sqlalchemy.URL) -> str:
    options = [value for key, value in url.query.items() if _SECRET.search(key)]
    for secret in [url.password, *options]:
        if secret:
            text = text.replace(str(secret), "***")
    return text


def _arrow_type(name: str, types: set[type]) -> pa.DataType:
    seen = types - {_NOTHING}
    if not seen <= _NUMBERS | _TIMES | _TEXTS:
        raise SourceError(
            f"the column {name!r} of the query holds values that are not numbers, text, times or"
            " booleans",
            found=sorted(kind.__name__ for kind in seen),
            remedy="CAST it in the query, or leave it out",
        )
    if not seen:
        return pa.null()
    if seen <= _NUMBERS:
        whole = pa.bool_() if seen == {bool} else pa.int64()
        return whole if seen <= {bool, int} else pa.float64()
    if seen == {datetime.date}:
        return pa.date32()
    return pa.timestamp("us", "UTC") if seen <= _TIMES else pa.string()


def _table(rows: Sequence[Sequence[Any]], schema: pa.Schema, query: str) -> pa.Table:
    columns = zip(schema, zip(*rows, strict=True), strict=True)
    try:
        return pa.table([_array(values, field.type) for field, values in columns], schema=schema)
    except OverflowError as error:
        raise SourceError(
            f"a whole number of the query has more than 64 bits ({error})",
            found=query,
            remedy="CAST the column to a floating-point type",
        ) from error
    except (pa.ArrowException, ValueError, TypeError):
        _check_same(same=False, query=query)
        raise


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    make: Callable[[Any], object] | None = None
    if pa.types.is_string(kind):
        make = str
    elif pa.types.is_floating(kind):
        make = float
    elif pa.types.is_integer(kind):
        make = int
    if make:
        values = [None if value is None else make(value) for value in values]
    return pa.array(values, kind)
