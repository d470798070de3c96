"""Tensors of the Open Inference Protocol v2, as values and as bytes.

Bytes are little-endian and row-major without padding, as in the binary tensor data extension and in
gRPC's raw contents. A BYTES tensor is a sequence of elements, each a length of 4 bytes and then the
bytes. No conversion runs a Python step per element, and the elements of BYTES are read only when
they are needed: `ByteCodes` reads all columns at once without them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rayml.errors import RequestError
from rayml.serve.tensors.byte_strings import join_elements, on_wire, split_elements

NUMPY_TYPES: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype(np.bool_),
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
}
"""NumPy's types of the datatypes whose elements have a fixed size."""

DATATYPES: Final = (*NUMPY_TYPES, "BYTES")

_MAX_DIMENSIONS = 8
_WIDEST = 8
_KINDS: dict[str, tuple[set[type], str]] = {
    "BOOL": ({bool}, "true or false"),
    "INT": ({int}, "a whole number"),
    "UINT": ({int}, "a whole number from 0 on"),
    "FP": ({float, int, type(None)}, "a number"),
    "BYTES": ({str, bytes, type(None)}, "a string"),
}
_VALUES = {datatype: _KINDS[datatype.rstrip("0123456789")] for datatype in DATATYPES}


# Not frozen: a frozen dataclass takes four times as long to make.
@dataclass(slots=True)
class Wire:
    """The elements of a BYTES tensor as the request has them, not read yet."""

    raw: bytes | memoryview


class Labels:
    """The strings that elements of BYTES tensors are chosen from; made once for many tensors.

    Args:
        strings: the strings, in the order of their codes.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        encoded = [string.encode() for string in strings]
        self.strings = list(strings)
        self.elements = pa.array(encoded, pa.binary())
        self.on_wire = pa.array(map(on_wire, encoded), pa.binary())


@dataclass(slots=True)
class Chosen:
    """The elements of a BYTES tensor by their codes, int64 [elements]."""

    labels: Labels
    codes: npt.NDArray[np.int64]

    def elements(self) -> pa.BinaryArray:
        """The elements themselves."""
        return self.labels.elements.take(pa.array(self.codes))

    def to_bytes(self) -> bytes:
        """The elements as the binary extension has them."""
        _, offsets, raw = self.labels.on_wire.take(pa.array(self.codes)).buffers()
        size = np.frombuffer(offsets, dtype=np.int32)[len(self.codes)]
        return bytes(memoryview(raw)[:size])


@dataclass(slots=True)
class Tensor:
    """A named tensor, which must not be changed.

    Attributes:
        name: name of the input or output.
        datatype: one of `DATATYPES`.
        shape: sizes of its dimensions.
        data: its elements in row-major order, one-dimensional: of BYTES an Arrow array of the
            type binary, whose nulls are missing values, or `Wire` or `Chosen`; of any other
            datatype a NumPy array of its type in `NUMPY_TYPES`.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: npt.NDArray[Any] | pa.BinaryArray | Wire | Chosen

    @property
    def numbers(self) -> npt.NDArray[Any]:
        """The elements of a tensor that is not of BYTES."""
        assert isinstance(self.data, np.ndarray)
        return self.data

    def elements(self) -> pa.BinaryArray:
        """The elements of a BYTES tensor; nulls are missing values.

        Raises:
            RequestError: 400 if its bytes do not hold as many elements as its shape has.
        """
        if isinstance(self.data, Wire):
            return split_elements(self.name, self.data.raw, math.prod(self.shape))
        return self.data.elements() if isinstance(self.data, Chosen) else self.data

    def to_bytes(self) -> bytes:
        """The elements as the binary extension has them; a missing one of BYTES is empty."""
        if isinstance(self.data, np.ndarray):
            return self.data.tobytes()
        if isinstance(self.data, Chosen):
            return self.data.to_bytes()
        return bytes(self.data.raw) if isinstance(self.data, Wire) else join_elements(self.data)

    def to_list(self) -> list[Any]:
        """The elements as JSON has them, flat.

        Raises:
            RequestError: 400 if an element of BYTES is not UTF-8.
        """
        if isinstance(self.data, np.ndarray):
            values: list[Any] = self.data.tolist()
            return values
        if isinstance(self.data, Chosen):
            return list(map(self.data.labels.strings.__getitem__, self.data.codes.tolist()))
        strings: list[Any] = text(self).to_pylist()
        return strings


def tensor_from_bytes(
    name: str, datatype: str, shape: Sequence[object], raw: bytes | memoryview
) -> Tensor:
    """Read a tensor from its bytes, which are not copied.

    Raises:
        RequestError: 400 if the datatype is unknown, the shape is malformed, or the bytes do not
            hold as many elements as the shape has; for BYTES `Tensor.elements` checks that.
    """
    sizes, count = _checked(name, datatype, shape)
    if datatype == "BYTES":
        return Tensor(name, datatype, sizes, Wire(raw))
    kind = NUMPY_TYPES[datatype]
    if len(raw) != count * kind.itemsize:
        raise RequestError(
            f"tensor {name!r} of {datatype} and shape {_shown(sizes)} has {len(raw)} bytes, not"
            f" {count * kind.itemsize}",
            status=400,
        )
    data = np.frombuffer(raw, dtype=kind)
    if datatype == "BOOL" and count and data.view(np.uint8).max() > 1:
        raise RequestError(
            f"an element of tensor {name!r} of BOOL is not a byte 0 or 1",
            status=400,
            found=int(data.view(np.uint8).max()),
        )
    return Tensor(name, datatype, sizes, data)


def tensor_from_values(
    name: str, datatype: str, shape: Sequence[object], values: Sequence[Any]
) -> Tensor:
    """Read a tensor from Python values, such as JSON gives, nested like its shape or flat.

    A null is a missing value of BYTES, and NaN of a floating-point tensor.

    Raises:
        RequestError: 400 if the datatype is unknown, the shape is malformed, or the values do not
            fit one of them.
    """
    sizes, count = _checked(name, datatype, shape)
    flat = _flattened(name, sizes, values)
    if len(flat) != count:
        raise RequestError(
            f"the data of tensor {name!r} does not have the {count} elements of its shape"
            f" {_shown(sizes)}",
            status=400,
            found=len(flat),
        )
    allowed, expected = _VALUES[datatype]
    wrong = set(map(type, flat)) - allowed
    if wrong:
        value = next(value for value in flat if type(value) in wrong)
        raise RequestError(
            f"an element of tensor {name!r} of {datatype} is not {expected}",
            status=400,
            found=value,
        )
    try:
        if datatype == "BYTES":
            return Tensor(name, datatype, sizes, pa.array(flat, pa.binary()))
        return Tensor(name, datatype, sizes, _numbers(flat, NUMPY_TYPES[datatype]))
    except (OverflowError, ValueError) as error:
        raise RequestError(
            f"an element of tensor {name!r} does not fit {datatype} ({error})", status=400
        ) from None


def text(tensor: Tensor) -> pa.StringArray:
    """The elements of a BYTES tensor as text.

    Raises:
        RequestError: 400 if one is not UTF-8.
    """
    try:
        return tensor.elements().cast(pa.string())
    except pa.ArrowInvalid:
        raise RequestError(
            f"an element of tensor {tensor.name!r} is not text in UTF-8", status=400
        ) from None


def _numbers(flat: Sequence[Any], kind: np.dtype[Any]) -> npt.NDArray[Any]:
    if kind.kind != "f" or kind.itemsize == _WIDEST:
        return np.array(flat, dtype=kind)
    # Rounded from the widest type, as a client that rounds by itself does.
    with np.errstate(over="ignore"):
        return np.array(flat, dtype=np.float64).astype(kind)


def _checked(name: str, datatype: str, shape: Sequence[object]) -> tuple[tuple[int, ...], int]:
    """The shape, and the number of elements that it has."""
    if datatype not in DATATYPES:
        raise RequestError(
            f"the datatype of tensor {name!r} is unknown",
            status=400,
            found=datatype,
            remedy=f"The datatypes are: {', '.join(DATATYPES)}",
        )
    if len(shape) == 1 and type(size := shape[0]) is int and 0 <= size < 2**63:
        return (size,), size  # the usual case
    sizes = tuple(size for size in shape if type(size) is int and 0 <= size < 2**63)
    if len(sizes) != len(shape) or not 1 <= len(sizes) <= _MAX_DIMENSIONS:
        raise RequestError(
            f"the shape of tensor {name!r} is not 1 to {_MAX_DIMENSIONS} whole numbers from 0 on",
            status=400,
            found=list(shape[: _MAX_DIMENSIONS + 1]),
        )
    return sizes, math.prod(sizes)


def _flattened(name: str, sizes: tuple[int, ...], values: Sequence[Any]) -> Sequence[Any]:
    """The values in row-major order; each level of nesting costs a few passes of C."""
    for depth in range(len(sizes)):
        if not values or not isinstance(values[0], (list, tuple)):
            break
        inner = sizes[depth + 1 : depth + 2]
        lists = set(map(type, values)) <= {list, tuple}
        if not inner or not lists or {*map(len, values)} != {*inner}:
            raise RequestError(
                f"the data of tensor {name!r} is neither flat nor nested as its shape"
                f" {_shown(sizes)}",
                status=400,
            )
        values = list(chain.from_iterable(values))
    return values


def _shown(sizes: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, sizes))}]"
