"""From the body of a request to rows, with every way to be wrong defined.

A body is one row `{column: value}`, a list of rows, or `{"rows": [row, ...]}`. A column that is
absent or null is missing, and so is a text that meant that in the source of the training rows;
the preprocessor defines what that means. A validator is compiled from the signature once, so that
raw bytes become checked rows in one call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic_core import CoreSchema, SchemaValidator, ValidationError, core_schema

from rayml.data.columns.kinds import microseconds_of
from rayml.data.columns.nearest import did_you_mean, listed
from rayml.data.rows.strictness import VALUES, WHOLE
from rayml.errors import RequestError
from rayml.registry.bundle.signature import Signature
from rayml.serve.predict.json_limits import Proportion
from rayml.types import Kind

Row = dict[str, Any]

_WRAPPED = re.compile(rb'\s*\{\s*"rows"\s*:\s*\[')
_LISTED = re.compile(rb"\s*\[")
_MOST_ERRORS = 1000


class RequestParser:
    """Parses bodies for one signature.

    Args:
        signature: of the bundle.
        max_rows: rows of a request at most.
        aside: further columns that a row may have, whose values nobody looks at.
    """

    def __init__(self, signature: Signature, *, max_rows: int, aside: Collection[str] = ()) -> None:
        self._kinds: dict[str, Kind] = {column.name: column.kind for column in signature.inputs}
        self._max_rows = max_rows
        self._proportion = Proportion(max_rows=max_rows, columns=len(self._kinds))
        row = row_schema(signature, aside)
        rows = rows_schema(row, max_rows)
        wrapped = core_schema.typed_dict_schema(
            {"rows": core_schema.typed_dict_field(rows)}, extra_behavior="forbid"
        )
        self._row = SchemaValidator(row)
        self._rows = SchemaValidator(rows)
        self._wrapped = SchemaValidator(wrapped)

    def parse(self, body: bytes) -> list[Row]:
        """Parse one body.

        Raises:
            RequestError: 400 if it is no JSON or names a key twice, 413 for too many rows, 422 if
                a value does not fit its column; row and column are named where they are known.
        """
        self._proportion.check(body)
        try:
            rows, keys = self._validate(body)
        except ValidationError as error:
            raise self._refusal(error) from None
        self._require_columns(rows)
        keys += sum(map(len, rows))
        # Each key has one colon of its own, so with no more colons than keys none was repeated.
        if body.count(b":") != keys:
            refuse_repeated_keys(body)
        return rows

    def parse_row(self, text: bytes) -> Row:
        """Parse one row by itself.

        Raises:
            RequestError: as `parse`.
        """
        try:
            row: Row = self._row.validate_json(text)
        except ValidationError as error:
            raise self._refusal(error) from None
        if text.count(b":") != len(row):
            refuse_repeated_keys(text)
        return row

    @staticmethod
    def _require_columns(rows: list[Row]) -> None:
        for index, row in enumerate(rows):
            if not row:
                raise RequestError("a row has at least one column", status=422, row=index)

    def _validate(self, body: bytes) -> tuple[list[Row], int]:
        if _LISTED.match(body):
            return self._rows.validate_json(body), 0
        if _WRAPPED.match(body):
            return self._wrapped.validate_json(body)["rows"], 1
        return [self._row.validate_json(body)], 0

    def _refusal(self, error: ValidationError) -> RequestError:
        if error.error_count() > _MOST_ERRORS:
            # To look at one builds them all.
            return RequestError(
                "names and values of rows fit the signature",
                status=422,
                found=f"{error.error_count()} that do not",
                remedy=f"Columns are: {self._known()}",
            )
        problem = error.errors(include_url=False)[0]
        value = problem["input"]
        match problem["type"], problem["loc"]:
            case "json_invalid", _:
                reason = problem["msg"].removeprefix("Invalid JSON: ")
                return RequestError(f"a body is JSON ({reason})", status=400)
            case "too_long", _:
                return RequestError(
                    f"a request has at most {self._max_rows} rows",
                    status=413,
                    remedy="Send them in several requests",
                )
            case "too_short", _:
                return RequestError("a request has at least one row", status=422, found=value)
            case "extra_forbidden", ("rows",):
                return RequestError("rows are a list", status=422, found=value)
            case kind, place:
                return self._misfit(kind, place, value)

    def _misfit(self, kind: str, place: tuple[int | str, ...], value: object) -> RequestError:
        # Places are (column), (row, column) and ("rows", row, column), by the form of the body.
        if len(place) > 1 and isinstance(place[1], int):
            place = place[1:]
        row = next((part for part in place[:1] if isinstance(part, int)), 0)
        column = next((part for part in place if isinstance(part, str)), None)
        if column is not None and kind == "extra_forbidden":
            return self._unknown(column, row)
        if column is not None and column in self._kinds:
            return RequestError(
                f"row {row}, column {column!r}: the value is {VALUES[self._kinds[column]]}",
                status=422,
                found=value,
                row=row,
                column=column,
            )
        return RequestError(
            f"row {row}: a row is an object of columns", status=422, found=value, row=row
        )

    def _unknown(self, column: str, row: int) -> RequestError:
        return RequestError(
            f"row {row}: a row has columns of the signature only",
            status=422,
            found=column,
            remedy=f"{did_you_mean(column, list(self._kinds))}They are: {self._known()}",
            row=row,
            column=column[:200],
        )

    def _known(self) -> str:
        return listed(list(self._kinds))


def row_schema(signature: Signature, aside: Collection[str] = ()) -> CoreSchema:
    """A row of a signature's columns, none of which is required, and of some that do not count."""
    anything = core_schema.typed_dict_field(core_schema.any_schema(), required=False)
    return core_schema.typed_dict_schema(
        {
            **dict.fromkeys(aside, anything),
            **{
                column.name: core_schema.typed_dict_field(
                    core_schema.nullable_schema(_value_or_token(column.kind, signature.missing)),
                    required=False,
                )
                for column in signature.inputs
            },
        },
        extra_behavior="forbid",
    )


def rows_schema(row: CoreSchema, max_rows: int) -> CoreSchema:
    """A list of one row to `max_rows`."""
    return core_schema.list_schema(row, min_length=1, max_length=max_rows, fail_fast=True)


_FLOAT = core_schema.float_schema(strict=True, allow_inf_nan=False)


def _value_or_token(kind: Kind, tokens: Sequence[str]) -> CoreSchema:
    """A value; one of the tokens is read as None, but of categories, which look themselves."""
    value = _value(kind)
    if kind == "categorical" or not tokens:
        return value
    token = core_schema.no_info_after_validator_function(
        lambda _: None, core_schema.literal_schema(list(tokens))
    )
    # One error rather than one of each choice.
    return core_schema.union_schema(
        [value, token],
        mode="left_to_right",
        custom_error_type="misfit",
        custom_error_message="no value of the column",
    )


def _value(kind: Kind) -> CoreSchema:
    match kind:
        case "numeric":
            return _FLOAT
        case "boolean":
            number = core_schema.no_info_after_validator_function(_truth, _FLOAT)
            truth = core_schema.bool_schema(strict=True)
            return core_schema.union_schema([truth, number], mode="left_to_right")
        case "timestamp":
            return core_schema.no_info_after_validator_function(
                _time, core_schema.str_schema(strict=True)
            )
        case "categorical":
            # A category that is a code comes as a whole number from many clients.
            code = core_schema.no_info_after_validator_function(
                str, core_schema.int_schema(strict=True)
            )
            text = core_schema.str_schema(strict=True)
            whole = core_schema.no_info_after_validator_function(_digits, _FLOAT)
            return core_schema.union_schema([text, code, whole], mode="left_to_right")


def _time(text: str) -> datetime:
    """Read as `rayml.data.columns.kinds` reads the training rows; without an offset it is UTC."""
    time = datetime.fromisoformat(text.strip())
    if not datetime.min.year < time.year < datetime.max.year and microseconds_of(text) is None:
        raise ValueError("an offset leads beyond the years that there are")
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _truth(number: float) -> bool:
    if number not in (0, 1):
        raise ValueError("a truth value is 0 or 1")
    return bool(number)


def _digits(number: float) -> str:
    """The digits of a whole number that is written with a point."""
    if not number.is_integer() or abs(number) >= WHOLE:
        raise ValueError("a category is no broken number")
    return str(int(number))


def refuse_repeated_keys(body: bytes) -> None:
    """Refuse JSON of which an object names a key twice.

    Raises:
        RequestError: 400.
    """

    def unique(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise RequestError("a JSON object names a key once", status=400, found=key)
            seen.add(key)

    json.loads(body, object_pairs_hook=unique)
