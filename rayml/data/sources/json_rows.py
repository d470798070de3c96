"""Reads the rows of a JSON file one by one, in memory that does not depend on its size."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator

from rayml.data.delimited.records import ByteStream
from rayml.errors import SourceError

_PIECE_BYTES = 2**20
_MAX_ROW_CHARACTERS = 16 * 2**20  # bounds memory if a row never ends
_SPACE = re.compile(r"[ \t\r\n]*")
_OPENING = re.compile(r'[ \t\r\n]*(\[|\{[ \t\r\n]*"rows"[ \t\r\n]*:[ \t\r\n]*\[)')


def read_rows(stream: ByteStream, file: str) -> Iterator[tuple[int, str]]:
    """Read the texts of the rows of a file, each with the line on which it begins.

    A file is a list of rows, `{"rows": [row, ...]}`, or rows one after the other, as in JSON lines.
    The content of a row is not checked.

    Args:
        stream: the file's bytes, decompressed.
        file: its name, for errors.

    Raises:
        SourceError: the file is not such JSON; the message names the line.
    """
    return iter(_Reader(stream, file))


class _Reader:
    def __init__(self, stream: ByteStream, file: str) -> None:
        self._stream = stream
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._decode = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._line = 1
        self._final = False

    def __iter__(self) -> Iterator[tuple[int, str]]:
        self._more()
        opening = _OPENING.match(self._text)
        if opening is None:
            while self._next():
                yield self._row()
            return
        self._advance(opening.end())
        yield from self._list()
        for expected in "]}" if "{" in opening.group() else "]":
            if self._next() != expected:
                raise self._broken(f"{expected!r} is missing")
            self._advance(self._at + 1)
        if self._next():
            raise self._broken("text follows the list of rows")

    def _list(self) -> Iterator[tuple[int, str]]:
        if self._next() == "]":
            return
        yield self._row()
        while self._next() == ",":
            self._advance(self._at + 1)
            self._next()
            yield self._row()

    def _row(self) -> tuple[int, str]:
        while True:
            start, line = self._at, self._line
            try:
                _, end = self._decode(self._text, start)
            except (ValueError, RecursionError) as error:
                if self._final or len(self._text) - start > _MAX_ROW_CHARACTERS:
                    raise self._broken(str(error)) from None
                self._more()
                continue
            if end == len(self._text) and not self._final:
                self._more()  # a number may continue
                continue
            row = self._text[start:end]
            self._advance(end)
            return line, row

    def _next(self) -> str:
        """The next character that is not a space, without taking it; empty at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            assert space is not None
            self._advance(space.end())
            if self._at < len(self._text) or self._final:
                return self._text[self._at : self._at + 1]
            self._more()

    def _advance(self, to: int) -> None:
        self._line += self._text.count("\n", self._at, to)
        self._at = to

    def _more(self) -> None:
        piece = self._stream.read(_PIECE_BYTES)
        self._final = not piece
        try:
            more = self._decoder.decode(piece, final=self._final)
        except UnicodeDecodeError:
            raise self._broken("it is not text in UTF-8") from None
        self._text = self._text[self._at :] + more
        self._at = 0

    def _broken(self, reason: str) -> SourceError:
        reason = re.sub(r": line \d+ column \d+ \(char \d+\)", "", reason)
        return SourceError(
            f"{self._file}, line {self._line}: this is not JSON ({reason})",
            remedy="Correct the file",
        )
