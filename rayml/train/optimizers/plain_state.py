"""Nested state as tensors and JSON: what a checkpoint holds in place of a pickle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

_TENSOR, _FLOAT, _LIST, _TUPLE, _ITEMS = "tensor", "float", "list", "tuple", "items"


def pack(value: Any, tensors: dict[str, Tensor], path: str = "state") -> Any:
    """Take a state apart.

    Args:
        value: mappings, lists and tuples of tensors, numbers, strings, booleans and None.
        tensors: its tensors are put here, by their place in it.
        path: of the value.

    Returns:
        The rest as JSON, which `unpack` reads.

    Raises:
        TypeError: it holds something else.
    """
    if isinstance(value, Tensor):
        tensors[path] = value
        return {_TENSOR: path}
    if isinstance(value, Mapping):
        parts = enumerate(value.items())
        return {
            _ITEMS: [
                [pack(key, tensors, f"{path}.{i}.key"), pack(each, tensors, f"{path}.{key}")]
                for i, (key, each) in parts
            ]
        }
    if isinstance(value, list | tuple):
        kind = _LIST if isinstance(value, list) else _TUPLE
        return {kind: [pack(each, tensors, f"{path}.{i}") for i, each in enumerate(value)]}
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{path} is a {type(value).__name__}")


def unpack(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `pack`.

    Raises:
        KeyError: a tensor is missing.
        ValueError: it is nothing that `pack` gives.
    """
    if not isinstance(packed, Mapping):
        return packed
    ((kind, value),) = packed.items()
    match kind:
        case "tensor":
            return tensors[value]
        case "float":
            return float(value)
        case "list":
            return [unpack(each, tensors) for each in value]
        case "tuple":
            return tuple(unpack(each, tensors) for each in value)
        case "items":
            return {unpack(key, tensors): unpack(each, tensors) for key, each in value}
        case _:
            raise ValueError(f"no packed state is a {kind!r}")
