"""Which dotted keys of a config are settings, whether or not its files write them out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from rayml.config.schema import Config


def is_setting(key: str) -> bool:
    """Whether a dotted key is a setting, or a name that the user chooses, as that of a column.

    Arguments of a component are no settings: what they are its class alone knows.
    """
    found: list[Any] = [Config]
    for name in key.split("."):
        found = [inner for kind in found for inner in _below(kind, name)]
    return bool(found)


def _below(kind: Any, name: str) -> Iterator[Any]:
    """The types that a name may have below a type."""
    origin = get_origin(kind)
    if origin is Annotated:
        yield from _below(get_args(kind)[0], name)
    elif origin in {Union, UnionType}:
        for each in get_args(kind):
            yield from _below(each, name)
    elif dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind, include_extras=True)
        if name in {field.name for field in dataclasses.fields(kind)}:
            yield hints[name]
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        (_, value) = get_args(kind)
        if value is not Any:
            yield value
