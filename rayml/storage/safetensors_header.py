"""What a safetensors file declares, checked against its own size before any tensor is read.

The header is eight bytes of length and then JSON: for each tensor its type, its shape and where its
bytes lie (https://github.com/huggingface/safetensors, "Format").
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, BinaryIO

# A tensor takes about a hundred bytes of the header.
_MOST_HEADER_BYTES = 16 << 20
_LENGTH_BYTES = 8
_BYTES = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2"), 1),
}
_METADATA = "__metadata__"

Shape = tuple[int, ...]


class TornTensorsError(ValueError):
    """A file is torn, or declares more than it holds."""


def tensor_shapes(content: BinaryIO, size: int) -> dict[str, Shape]:
    """The shapes of the tensors of a file by name.

    Args:
        content: of the file, from its beginning.
        size: of the file in bytes.

    Raises:
        TornTensorsError: the file is torn, or declares more than it holds.
        OSError: it cannot be read.
    """
    length = int.from_bytes(content.read(_LENGTH_BYTES), "little")
    if length > min(_MOST_HEADER_BYTES, size - _LENGTH_BYTES):
        raise TornTensorsError(f"its header declares {length:,} bytes of {size:,}")
    try:
        header = json.loads(content.read(length))
    except (ValueError, RecursionError) as error:
        raise TornTensorsError(f"its header cannot be read ({error})") from error
    if not isinstance(header, dict):
        raise TornTensorsError("its header is no JSON object")
    room = size - _LENGTH_BYTES - length
    header.pop(_METADATA, None)
    shapes = {name: _shape(name, tensor, room) for name, tensor in header.items()}
    _require_apart(header, room)
    return shapes


def _shape(name: str, tensor: Any, room: int) -> Shape:
    """The shape of one tensor, checked against its offsets, and those against the file."""
    try:
        shape, width = tuple(tensor["shape"]), _BYTES[tensor["dtype"]]
        begin, end = tensor["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise TornTensorsError(
            f"its tensor {name[:100]!r} lacks a type, a shape or offsets"
        ) from error
    if not all(type(each) is int and 0 <= each < 2**63 for each in (*shape, begin, end)):
        raise TornTensorsError(f"its tensor {name[:100]!r} has an impossible size")
    # No bytes bound the other dimensions of an empty tensor, and each may become an allocation.
    if len(shape) > 16 or (0 in shape and math.prod(each or 1 for each in shape) > 2**32):
        raise TornTensorsError(f"its tensor {name[:100]!r} has the impossible shape {shape}")
    if not begin <= end <= room or math.prod(shape) * width != end - begin:
        raise TornTensorsError(
            f"its tensor {name[:100]!r} declares the shape {shape}, which takes"
            f" {math.prod(shape) * width:,} bytes; it has {end - begin:,} of {room:,}"
        )
    return shape


def _require_apart(header: Mapping[str, Any], room: int) -> None:
    """Refuse tensors that share bytes: each takes memory of its own."""
    places = sorted(tensor["data_offsets"] for tensor in header.values())
    if sum(end - begin for begin, end in places) > room or any(
        before[1] > after[0] for before, after in pairwise(places)
    ):
        raise TornTensorsError("its tensors overlap")
