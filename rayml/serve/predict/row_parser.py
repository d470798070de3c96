"""Parses the JSON body of a request into rows; each malformed body has a defined error.

A body is one row `{column: value}`, a list of rows, or `{"rows": [row, ...]}`. A column that is
absent or null is missing, and so is a text that meant a missing value in the training rows; the
preprocessor defines what a missing value gives. A validator is compiled from the signature once, so
that raw bytes become checked rows in one call.
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
from rayml.serve.predict.json_limits import JsonLimits
from rayml.types import Kind

Row = dict[str, Any]

_WRAPPED = re.compile(rb'\s*\{\s*"rows"\s*:\s*\[')
_LISTED = re.compile(rb"\s*\[")
_MOST_ERRORS = 1000


class RequestParser:
    """Parses bodies for one signature.

    Args:
        signature: signature of the bundle.
        max_rows: most rows of a request.
        aside: further columns that a row may have; their values are ignored.
    """

    def __init__(self, signature: Signature, *, max_rows: int, aside: Collection[str] = ()) -> None:
        self._kinds: dict[str, Kind] = {column.name: column.kind for column in signature.inputs}
        self._max_rows = max_rows
        self._limits = JsonLimits(max_rows=max_rows, columns=len(self._kinds))
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
            RequestError: 400 if the body is no JSON or names a key twice, 413 for too many rows,
                422 if a value does not fit its column; with the row and the column where known.
        """
        self._limits.check(body)
        try:
            rows, keys = self._validate(body)
        except ValidationError as error:
            raise self._refusal(error) from None
        self._require_columns(rows)
        keys += sum(map(len, rows))
        # Each key has its own colon, so a repeated key leaves more colons than keys.
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
                raise RequestError(f"row {index} has no column", status=422, row=index)

    def _validate(self, body: bytes) -> tuple[list[Row], int]:
        if _LISTED.match(body):
            return self._rows.validate_json(body), 0
        if _WRAPPED.match(body):
            return self._wrapped.validate_json(body)["rows"], 1
        return [self._row.validate_json(body)], 0

    def _refusal(self, error: ValidationError) -> RequestError:
        if error.error_count() > _MOST_ERRORS:
            # Reading one of the errors builds all of them.
            return RequestError(
                f"{error.error_count()} names or values do not fit the signature",
                status=422,
                remedy=f"The columns are: {self._known()}",
            )
        problem = error.errors(include_url=False)[0]
        value = problem["input"]
        match problem["type"], problem["loc"]:
            case "json_invalid", _:
                reason = problem["msg"].removeprefix("Invalid JSON: ")
                return RequestError(f"the body is not JSON ({reason})", status=400)
            case "too_long", _:
                return RequestError(
                    f"the request has more than {self._max_rows} rows",
                    status=413,
                    remedy="Send them in several requests",
                )
            case "too_short", _:
                return RequestError("the request has no row", status=422, found=value)
            case "extra_forbidden", ("rows",):
                return RequestError("`rows` is not a list", status=422, found=value)
            case kind, place:
                return self._misfit(kind, place, value)

    def _misfit(self, kind: str, place: tuple[int | str, ...], value: object) -> RequestError:
        # The place is (column), (row, column) or ("rows", row, column), by the form of the body.
        if len(place) > 1 and isinstance(place[1], int):
            place = place[1:]
        row = next((part for part in place[:1] if isinstance(part, int)), 0)
        column = next((part for part in place if isinstance(part, str)), None)
        if column is not None and kind == "extra_forbidden":
            return self._unknown(column, row)
        if column is not None and column in self._kinds:
            return RequestError(
                f"row {row}, column {column!r}: the value is not {VALUES[self._kinds[column]]}",
                status=422,
                found=value,
                row=row,
                column=column,
            )
        return RequestError(
            f"row {row} is not an object of columns", status=422, found=value, row=row
        )

    def _unknown(self, column: str, row: int) -> RequestError:
        return RequestError(
            f"row {row} has an unknown column",
            status=422,
            found=column,
            remedy=f"{did_you_mean(column, list(self._kinds))}The columns are: {self._known()}",
            row=row,
            column=column[:200],
        )

    def _known(self) -> str:
        return listed(list(self._kinds))


def row_schema(signature: Signature, aside: Collection[str] = ()) -> CoreSchema:
    """Schema of a row: the signature's columns, none of them required, and ignored ones."""
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
    """Schema of a list of 1 to `max_rows` rows."""
    return core_schema.list_schema(row, min_length=1, max_length=max_rows, fail_fast=True)


_FLOAT = core_schema.float_schema(strict=True, allow_inf_nan=False)


def _value_or_token(kind: Kind, tokens: Sequence[str]) -> CoreSchema:
    """A value, or a token, which is read as None; categories and texts know their own tokens."""
    value = _value(kind)
    if kind in ("categorical", "text") or not tokens:
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
        case "text":
            return core_schema.str_schema(strict=True)
        case "categorical":
            # Many clients send a category that is a code as a number.
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
        raise ValueError("the offset moves the time out of the years 1 to 9999")
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _truth(number: float) -> bool:
    if number not in (0, 1):
        raise ValueError("the number is neither 0 nor 1")
    return bool(number)


def _digits(number: float) -> str:
    """The digits of a whole number that is written with a point."""
    if not number.is_integer() or abs(number) >= WHOLE:
        raise ValueError("the number is not whole")
    return str(int(number))


def refuse_repeated_keys(body: bytes) -> None:
    """Check that no object of a JSON body names a key twice.

    Raises:
        RequestError: 400 if one does.
    """

    def unique(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise RequestError("a JSON object names a key twice", status=400, found=key)
            seen.add(key)

    json.loads(body, object_pairs_hook=unique)
