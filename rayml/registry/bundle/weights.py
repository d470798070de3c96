"""What a safetensors file declares, checked against its own size before any tensor is read.

The header is eight bytes of length and then JSON: for each tensor its type, its shape and where its
bytes lie (https://github.com/huggingface/safetensors, "Format").
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from rayml.errors import BundleError

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


def read_shapes(path: Path) -> dict[str, Shape]:
    """The shapes of the tensors of a file by name.

    Raises:
        BundleError: the file is torn, or declares more than it holds.
    """
    try:
        with path.open("rb") as content:
            size = os.fstat(content.fileno()).st_size
            length = int.from_bytes(content.read(_LENGTH_BYTES), "little")
            if length > min(_MOST_HEADER_BYTES, size - _LENGTH_BYTES):
                raise _refused(path, f"its header declares {length:,} bytes of {size:,}")
            header = json.loads(content.read(length))
    except (OSError, ValueError, RecursionError) as error:
        raise _refused(path, f"its header cannot be read ({error})") from error
    if not isinstance(header, dict):
        raise _refused(path, "its header is no JSON object")
    room = size - _LENGTH_BYTES - length
    header.pop(_METADATA, None)
    shapes = {name: _shape(path, name, tensor, room) for name, tensor in header.items()}
    _require_apart(path, header, room)
    return shapes


def _shape(path: Path, name: str, tensor: Any, room: int) -> Shape:
    """The shape of one tensor, checked against its offsets, and those against the file."""
    try:
        shape, width = tuple(tensor["shape"]), _BYTES[tensor["dtype"]]
        begin, end = tensor["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise _refused(
            path, f"its tensor {name[:100]!r} lacks a type, a shape or offsets"
        ) from error
    if not all(type(each) is int and 0 <= each < 2**63 for each in (*shape, begin, end)):
        raise _refused(path, f"its tensor {name[:100]!r} has an impossible size")
    # No bytes bound the other dimensions of an empty tensor, and each may become an allocation.
    if len(shape) > 16 or (0 in shape and math.prod(each or 1 for each in shape) > 2**32):
        raise _refused(path, f"its tensor {name[:100]!r} has the impossible shape {shape}")
    if not begin <= end <= room or math.prod(shape) * width != end - begin:
        raise _refused(
            path,
            f"its tensor {name[:100]!r} declares the shape {shape}, which takes"
            f" {math.prod(shape) * width:,} bytes; it has {end - begin:,} of {room:,}",
        )
    return shape


def _require_apart(path: Path, header: Mapping[str, Any], room: int) -> None:
    """Refuse tensors that share bytes: each takes memory of its own."""
    places = sorted(tensor["data_offsets"] for tensor in header.values())
    if sum(end - begin for begin, end in places) > room or any(
        before[1] > after[0] for before, after in pairwise(places)
    ):
        raise _refused(path, "its tensors overlap")


def _refused(path: Path, why: str) -> BundleError:
    return BundleError(
        f"{path.name} cannot be read: {why}",
        found=str(path),
        remedy="Copy the bundle again from where it was written",
    )
