"""A component node of a file, which is read before it is known whether it may be built.

`rayml.config.components.build.build` takes nodes that the user wrote on the command line or in a
config folder, and imports any path that they name. A stored node is not a mapping, so that `build`
cannot take it by mistake: `rayml.config.components.trusted.build_trusted` alone builds it, if it is
trusted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from rayml.config.components.build import TARGET
from rayml.config.components.moved import current_name
from rayml.errors import BuildError

# A component of rayml has six arguments; the longest is a query or a list of files.
MOST_VALUES = 10_000
MOST_LEVELS = 4
MOST_CHARACTERS = 100_000
# Of 64 bits; sizes, seeds and counts are smaller.
LARGEST_INTEGER = 2**63


@dataclass(frozen=True)
class StoredNode:
    """A component that a file names, with plain values for its arguments.

    Attributes:
        target: dotted path of the component.
        arguments: by name; numbers, strings, truth values, None, and lists and mappings of them.
    """

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, node: object) -> StoredNode:
        """Read a node of plain containers.

        Raises:
            BuildError: it is not a node, holds another node, or more than an argument may hold.
        """
        if isinstance(node, StoredNode):
            return node
        if not isinstance(node, Mapping) or not isinstance(node.get(TARGET), str):
            raise BuildError(
                f"a stored component is not a mapping with a {TARGET}",
                remedy="Restore the file from a copy",
            )
        arguments = {key: value for key, value in node.items() if key != TARGET}
        problem = next(problems(arguments), None)
        if problem is not None:
            raise BuildError(
                f"the stored component {_shortened(node[TARGET])} has {problem}",
                remedy="Restore the file from a copy",
            )
        return cls(current_name(node[TARGET]), arguments)

    def plain(self) -> dict[str, Any]:
        """The node as a config writes it."""
        return {TARGET: self.target, **self.arguments}


def problems(arguments: Mapping[Any, Any]) -> Iterator[str]:
    """What the arguments of a stored node have besides plain values of bounded size."""
    pending: list[tuple[str, Any, int]] = [("", arguments, 0)]
    seen = 0
    while pending:
        path, value, level = pending.pop()
        seen += 1
        if seen > MOST_VALUES:
            yield f"more than {MOST_VALUES:,} values in the arguments"
            return
        if isinstance(value, Mapping | list | tuple):
            if level > MOST_LEVELS:
                yield f"more than {MOST_LEVELS} levels of values in the argument {path}"
                return
            if isinstance(value, Mapping) and TARGET in value:
                yield f"another component inside the argument {path}"
                return
            pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
            for key, inner in pairs:
                if isinstance(value, Mapping) and not isinstance(key, str):
                    yield f"a key that is not a string in the argument {path or repr(key)}"
                    return
                pending.append(
                    (f"{path}.{_shortened(key)}" if path else _shortened(key), inner, level + 1)
                )
        elif (problem := _scalar_problem(value)) is not None:
            yield f"{problem} in the argument {path}"
            return


def _scalar_problem(value: object) -> str | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if abs(value) < LARGEST_INTEGER else "an integer of more than 64 bits"
    if isinstance(value, float):
        return "a NaN" if math.isnan(value) else None
    if isinstance(value, str):
        long = len(value) > MOST_CHARACTERS
        return f"more than {MOST_CHARACTERS:,} characters" if long else None
    return f"a {type(value).__name__} instead of a plain value"


def _shortened(text: object) -> str:
    shown = str(text)
    return shown if len(shown) <= 100 else f"{shown[:99]}…"


def _validated(node: object) -> StoredNode:
    try:
        return StoredNode.of(node)
    except BuildError as error:
        # The only kind of error that pydantic gathers with the others.
        raise ValueError(str(error)) from error


NodeField = Annotated[
    StoredNode,
    BeforeValidator(_validated),
    PlainSerializer(StoredNode.plain, return_type=dict[str, Any]),
]
"""A stored node as a field of settings."""
