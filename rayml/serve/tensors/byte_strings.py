"""BYTES tensors on the wire: each element a little-endian length of 4 bytes, then its bytes.

Where an element begins depends on the lengths of all before it, so a loop would read them one by
one. But the length of a short element has three upper bytes of zero, and text has no zero bytes; so
one pass finds all lengths and another checks that they form a chain. Where the check fails, a loop
reads them one by one.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rayml.errors import RequestError

_PREFIX = 4
_LENGTH = struct.Struct("<I")
_PREFIX_BYTES = np.arange(_PREFIX)

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]


def split_elements(name: str, raw: bytes | memoryview, count: int) -> pa.BinaryArray:
    """Read the elements of a BYTES tensor.

    Args:
        name: name of the tensor, for errors.
        raw: bytes of the tensor.
        count: number of its elements.

    Raises:
        RequestError: 400 unless the bytes are exactly `count` elements.
    """
    data: Bytes = np.frombuffer(raw, dtype=np.uint8)
    if not _PREFIX * count <= len(data) < 2**31:
        raise RequestError(
            f"tensor {name!r} of BYTES has {len(data)} bytes, which cannot hold {count} elements"
            f" and their lengths of {_PREFIX} bytes",
            status=400,
        )
    places = _guess(data, count)
    if places is None:
        places = _follow(name, raw, count)
    # Lengths and values in turns, as they lie in the bytes; the values are every second one.
    offsets = np.empty(2 * count + 1, dtype=np.int32)
    offsets[:-1:2] = places
    offsets[1::2] = places + _PREFIX
    offsets[-1] = len(data)
    turns = pa.BinaryArray.from_buffers(
        pa.binary(), 2 * count, [None, pa.py_buffer(offsets), pa.py_buffer(raw)]
    )
    return turns.take(pa.array(np.arange(1, 2 * count, 2, dtype=np.int32)))


def lay_out(raws: Sequence[bytes | memoryview], count: int) -> pa.BinaryArray | None:
    """Take the bytes of several BYTES tensors as one array, whose elements keep their lengths.

    No element is copied or looked at: its length and its bytes end where the next one begins.

    Args:
        raws: bytes of the tensors.
        count: elements that each of them has.

    Returns:
        Their elements one after the other, each as it is on the wire; None if a tensor is none of
        short pieces of text, or is torn.
    """
    raw = b"".join(raws)
    if not _PREFIX * count * len(raws) <= len(raw) < 2**31:
        return None
    places = _guess(np.frombuffer(raw, dtype=np.uint8), count * len(raws))
    starts = list(accumulate(map(len, raws), initial=0))[:-1]
    if places is None or places[::count].tolist() != starts:
        return None
    offsets = np.empty(len(places) + 1, dtype=np.int32)
    offsets[:-1] = places
    offsets[-1] = len(raw)
    return pa.BinaryArray.from_buffers(
        pa.binary(), len(places), [None, pa.py_buffer(offsets), pa.py_buffer(raw)]
    )


def is_text(elements: pa.BinaryArray) -> bool:
    """Whether the elements of `lay_out` are UTF-8, apart from their lengths."""
    _, offsets, raw = elements.buffers()
    data = np.frombuffer(raw, dtype=np.uint8).copy()
    # With zeros as lengths no character goes on from one element to the next.
    data[np.frombuffer(offsets, dtype=np.int32)[:-1]] = 0
    try:
        data.tobytes().decode()
    except UnicodeDecodeError:
        return False
    return True


def on_wire(value: bytes) -> bytes:
    """An element with its length before it."""
    return _LENGTH.pack(len(value)) + value


def join_elements(elements: pa.BinaryArray) -> bytes:
    """Write the elements of a BYTES tensor; a null is written as an empty one."""
    count = len(elements)
    if elements.null_count:
        elements = elements.fill_null(b"")
    _, offsets_buffer, values_buffer = elements.buffers()
    if not count or offsets_buffer is None:
        return b""
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32)
    offsets = offsets[elements.offset : elements.offset + count + 1]
    lengths = np.diff(offsets).astype("<u4")
    places = (offsets[:-1] - offsets[0]) + _PREFIX * np.arange(count)
    prefixes = (places[:, None] + _PREFIX_BYTES).ravel()
    size = int(offsets[-1]) - int(offsets[0])
    data: Bytes = np.empty(size + _PREFIX * count, dtype=np.uint8)
    data[prefixes] = lengths.view(np.uint8)
    if size:
        keep = np.ones(len(data), dtype=np.bool_)
        keep[prefixes] = False
        values = np.frombuffer(values_buffer, dtype=np.uint8)
        data[keep] = values[offsets[0] : offsets[-1]]
    return data.tobytes()


def _guess(data: Bytes, count: int) -> Places | None:
    """Places of the lengths, if those with three upper bytes of zero are a chain; else None."""
    if not count:
        return np.empty(0, dtype=np.int64) if not len(data) else None
    zero = data == 0
    places: Places = np.flatnonzero(zero[1:-2] & zero[2:-1] & zero[3:])
    if len(places) != count:
        places = _drop_shifted(data, places)
    if len(places) != count:
        return None
    ends = places + _PREFIX
    ends += data[places]
    chained = places[0] == 0 and ends[-1] == len(data) and np.array_equal(ends[:-1], places[1:])
    return places if chained else None


def _drop_shifted(data: Bytes, places: Places) -> Places:
    """Drop places that only seem to hold a length, since they are beside an empty element.

    The length of an empty element is four zeros, that of another one a byte and three zeros.
    """
    # After another length there are exactly three zeros, before an empty element there are more.
    keep = data.take(places + _PREFIX, mode="clip") != 0
    empties = np.flatnonzero(data[places] == 0)
    # A run of zeros from an empty element on holds lengths at every fourth place.
    run = places[empties]
    starts = run.copy()
    starts[1:][run[1:] - run[:-1] == 1] = 0
    keep[empties] = (run - np.maximum.accumulate(starts)) % _PREFIX == 0
    kept: Places = places[keep]
    return kept


def _follow(name: str, raw: Any, count: int) -> Places:
    """Places of the lengths, one after the other."""
    places = np.empty(count, dtype=np.int64)
    read, size, at = _LENGTH.unpack_from, len(raw), 0
    for index in range(count):
        if at + _PREFIX > size:
            break
        places[index] = at
        at += _PREFIX + read(raw, at)[0]
    else:
        if at == size:
            return places
    raise RequestError(
        f"the lengths of the {count} elements of tensor {name!r} of BYTES do not add up to its"
        f" {size} bytes",
        status=400,
    )
