"""Cuts CSV text into records, exactly and fast.

If the grammar allows each quote of a piece of text at its place, a line break ends a record when
an even number of quotes lies before it, which NumPy finds for the whole piece at once. Any other
piece is matched record by record with the grammar. Text that does not match costs one physical
line: that line is malformed and reading continues with the next one, so an open quote cannot
swallow the rest of a file.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rayml.data.delimited.grammar import LINE_END, NEWLINE, RETURN, Grammar

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]

SHOWN_BYTES = 120
BAD_QUOTE = "a quoted field is open, or text follows its closing quote"


@dataclass(slots=True)
class Cut:
    """Records found at the head of some bytes, as positions in those bytes.

    Attributes:
        breaks: positions after each line break, inside quoted fields too.
        starts: of the records.
        ends: after each record and its line break.
        used: bytes that are cut; the rest waits for more bytes.
        edits: for some starts, the end of that part and the bytes that replace it.
        malformed: for some starts, why the line is not a record.
    """

    breaks: Positions
    starts: Positions
    ends: Positions
    used: int
    edits: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    malformed: dict[int, str] = field(default_factory=dict)

    def drop(self, start: int, end: int, line: bytes, reason: str) -> None:
        """Remove one line as malformed."""
        self.edits[start] = (end, b"")
        self.malformed[start] = f"{reason}: {shown(line)}"

    def text(self, data: bytes) -> bytes | memoryview:
        """The bytes of the records, edits applied."""
        if not self.edits:
            return memoryview(data)[: self.used]
        parts, position = [], 0
        for start in sorted(self.edits):
            end, instead = self.edits[start]
            parts += [data[position:start], instead]
            position = end
        return b"".join([*parts, data[position : self.used]])


def cut(data: bytes, grammar: Grammar, *, final: bool) -> Cut:
    """Cut the head of `data`, which begins with a record, into records.

    Args:
        data: UTF-8 text.
        grammar: of the text's dialect.
        final: whether no more bytes follow. If so, all of `data` is used; else an unfinished
            record at its end is left.
    """
    buffer = np.frombuffer(data, np.uint8)
    breaks = _line_breaks(buffer, data, final=final)
    found = _cut_at_breaks(buffer, breaks, grammar, final=final)
    if found is None:
        found = _cut_one_by_one(data, breaks, grammar, final=final)
    _drop_undecodable(data, found)
    return found


def shown(line: bytes) -> str:
    """The head of a line for a message, readable for any bytes."""
    first = LINE_END.split(line[: SHOWN_BYTES + 1], maxsplit=1)[0]
    text = repr(first[:SHOWN_BYTES].decode(errors="backslashreplace"))
    return f"{text}…" if len(first) > SHOWN_BYTES else text


def _line_breaks(buffer: Bytes, data: bytes, *, final: bool) -> Positions:
    newlines = np.flatnonzero(buffer == NEWLINE)
    if b"\r" not in data:
        return newlines + 1
    returns = np.flatnonzero(buffer == RETURN)
    follow = np.append(buffer[1:], 0 if final else NEWLINE)[returns]
    return np.sort(np.concatenate([newlines, returns[follow != NEWLINE]])) + 1


def _cut_at_breaks(
    buffer: Bytes, breaks: Positions, grammar: Grammar, *, final: bool
) -> Cut | None:
    """Cut at line breaks outside quotes; None if a quote is out of place."""
    ends = breaks
    closed = True
    quotes = _no_positions() if grammar.quote is None else np.flatnonzero(buffer == grammar.quote)
    if len(quotes):
        if not _well_placed(buffer, quotes, grammar.delimiter):
            return None
        ends = breaks[np.searchsorted(quotes, breaks) % 2 == 0]
        closed = len(quotes) % 2 == 0
    used = int(ends[-1]) if len(ends) else 0
    if final and used < len(buffer):
        if not closed:
            return None
        used = len(buffer)
        ends = np.append(ends, used)
    starts = np.concatenate([_no_positions(), [0], ends[:-1]])[: len(ends)].astype(np.int64)
    first = buffer[starts]
    kept = (first != NEWLINE) & (first != RETURN)
    found = Cut(breaks, starts[kept], ends[kept], used)
    if grammar.comment is None:
        return found
    comments = first[kept] == grammar.comment
    if comments.any():
        if len(quotes):  # quotes of a comment mean nothing, so parity would mislead
            return None
        for start, end in zip(found.starts[comments], found.ends[comments], strict=True):
            found.edits[int(start)] = (int(end), b"")
        found.starts, found.ends = found.starts[~comments], found.ends[~comments]
    return found


def _no_positions() -> Positions:
    return np.empty(0, np.int64)


def _well_placed(buffer: Bytes, quotes: Positions, delimiter: int) -> bool:
    """Whether quotes that open and close by turns are at places that the grammar allows."""
    allowed = np.zeros(256, bool)
    allowed[[delimiter, NEWLINE, RETURN, buffer[quotes[0]]]] = True  # a second quote escapes
    opening, closing = quotes[0::2], quotes[1::2]
    before = opening[opening > 0] - 1
    behind = closing[closing < len(buffer) - 1] + 1
    return bool(allowed[buffer[before]].all() and allowed[buffer[behind]].all())


def _cut_one_by_one(data: bytes, breaks: Positions, grammar: Grammar, *, final: bool) -> Cut:
    found = Cut(breaks, _no_positions(), _no_positions(), 0)
    spans: list[tuple[int, int]] = []
    position = 0
    while position < len(data):
        end = _end_of_record(data, position, grammar, final=final)
        if end is None:
            break
        if data[position] in (NEWLINE, RETURN):
            pass
        elif data[position] == grammar.comment:
            found.edits[position] = (end, b"")
        elif end < 0:
            end = -end
            found.drop(position, end, data[position:end], BAD_QUOTE)
        else:
            spans.append((position, end))
            record = data[position:end]
            if grammar.padded and (bare := grammar.padded.sub(rb"\1", record)) != record:
                found.edits[position] = (end, bare)
        position = end
    found.used = position
    if spans:
        found.starts, found.ends = np.array(spans, np.int64).T
    return found


def _end_of_record(data: bytes, start: int, grammar: Grammar, *, final: bool) -> int | None:
    """End of the record or line at `start`; negative if malformed; None if bytes are lacking."""
    complete = len(data) if final else len(data) - 1  # a last \r may be half of \r\n
    plain_line = data[start] == grammar.comment
    match = None if plain_line else grammar.record.match(data, start)
    if match:
        return match.end() if match.end() <= complete or data[-1] == NEWLINE else None
    if not final and not plain_line and grammar.open and grammar.open.match(data, start):
        return None
    line = LINE_END.search(data, start)
    end = line.end() if line else len(data)
    if end > complete and data[-1] != NEWLINE:
        return None
    return end if plain_line else -end


def _drop_undecodable(data: bytes, found: Cut) -> None:
    """Remove records whose bytes are not UTF-8."""
    head = memoryview(data)[: found.used]
    if data.isascii():
        return
    good = np.ones(len(found.starts), bool)
    position = 0
    while position < found.used:
        try:
            str(head[position:], "utf-8")
            break
        except UnicodeDecodeError as error:
            at = position + error.start
        index = int(np.searchsorted(found.starts, at, "right")) - 1
        if index >= 0 and at < found.ends[index]:
            start, position = int(found.starts[index]), int(found.ends[index])
            found.drop(start, position, data[start:position], "text is not in its encoding")
            good[index] = False
        else:  # in a comment or in a malformed line
            later = found.starts[index + 1 :]
            position = int(later[0]) if len(later) else found.used
    found.starts, found.ends = found.starts[good], found.ends[good]
