"""The dialect of a CSV file: separators, quotes, missing values, header."""

from __future__ import annotations

import codecs
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from rayml.types import Size, settings

# One byte of ASCII that does not end a line and is never part of another character.
Mark = Annotated[str, Field(min_length=1, max_length=1, pattern=r"^[\x01-\x09\x0b\x0c\x0e-\x7f]$")]

MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null")


@settings
class CsvSettings:
    r"""The dialect of a CSV file (RFC 4180, with the usual liberties).

    A quoted field holds separators, line breaks and doubled quotes. A quote inside a field
    that does not begin with one is an ordinary character. Lines end in ``\n``, ``\r\n`` or
    ``\r``; empty lines are no rows.

    Attributes:
        delimiter: character between two fields.
        quote: character around a field; None if quotes mean nothing.
        columns: names of the columns of files without a header; None reads them from the
            first line of each file.
        nulls: fields that mean a missing value, quoted or not.
        strip: whether spaces and tabs at both ends of each field are removed.
        comment: lines that begin with this character are not rows.
        skip_lines: lines at the top of each file that are not part of the table.
        encoding: any text encoding that Python knows.
        decimal: mark of the decimals of numbers. With a comma, a field such as `1,5` is read as
            the same number with a point.
    """

    delimiter: Mark = ","
    quote: Mark | None = '"'
    columns: tuple[str, ...] | None = None
    nulls: tuple[str, ...] = MISSING
    strip: bool = False
    comment: Mark | None = None
    skip_lines: Size = 0
    encoding: str = "utf-8"
    decimal: Literal[".", ","] = "."

    @pydantic.field_validator("encoding")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            return codecs.lookup(name).name
        except LookupError as error:
            raise ValueError(f"Python knows no encoding {name!r}; check its spelling") from error

    @pydantic.model_validator(mode="after")
    def _distinct(self) -> CsvSettings:
        marks = [mark for mark in (self.delimiter, self.quote, self.comment) if mark]
        if len(set(marks)) < len(marks):
            raise ValueError(
                f"delimiter, quote and comment share a character ({' '.join(map(repr, marks))});"
                " choose three different ones"
            )
        if self.strip and self.delimiter == " ":
            raise ValueError("the delimiter is a space, which strip removes; set strip to false")
        return self
