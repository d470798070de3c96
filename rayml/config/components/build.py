"""Builds the component nodes that the user wrote: `{_target_: dotted.path, **arguments}`.

A node is a plain mapping. Building it imports the target and calls it with the node's other
keys, nested nodes first. Any path is imported, so `rayml.config.components.trusted` builds the
nodes of stored and sent files instead. Nothing here knows Hydra, so workers and replicas build
components without importing it.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rayml.config.components.moved import current_name
from rayml.config.components.parameters import is_own, read_parameters
from rayml.errors import BuildError, RaymlError

TARGET = "_target_"
# Nodes of these become settings, with a key of their own for the target.
_TARGETS = {"train.optimizer.target", "search.sampler.target", "search.pruner.target"}
Node = Mapping[str, Any]


def is_node(value: object) -> bool:
    """Whether a config value describes a component."""
    return isinstance(value, Mapping) and TARGET in value


def locate(path: str) -> Callable[..., Any]:
    """Import the class or function that a dotted path names.

    Raises:
        BuildError: nothing lies at that path, or it cannot be called.
    """
    module, _, name = path.rpartition(".")
    if not module:
        raise BuildError(f"the _target_ {path!r} names no module", remedy="Write it as module.name")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # a user's module may raise anything when it is imported
        raise BuildError(
            f"the _target_ {path!r} does not import ({type(error).__name__}: {error})",
            remedy="Check the spelling, and that its package is on PYTHONPATH or in this folder",
        ) from error
    if not callable(found):
        raise BuildError(
            f"the _target_ {path!r} is a {type(found).__name__}",
            remedy="Name a class or a function",
        )
    return found  # type: ignore[no-any-return]


def check(node: Node, /, *extra: str) -> None:
    """Check that a node can be built, without building it.

    Nodes of rayml's own components are checked without importing them.

    Args:
        node: the component node.
        extra: names of the arguments that `build` takes besides the node's own.

    Raises:
        BuildError: a target does not import, or its arguments do not bind.
    """
    signature = _signature(_path(node))
    arguments = {key: value for key, value in node.items() if key != TARGET}
    for value in arguments.values():
        if is_node(value):
            check(value)
    _bind(signature, node, arguments | dict.fromkeys(extra))


def taken(target: str, arguments: Mapping[str, Any], offered: Mapping[str, Any]) -> dict[str, Any]:
    """A node of the user's arguments, and of those offered ones that its constructor names.

    Args:
        target: dotted path of the user's class.
        arguments: that the user wrote.
        offered: by rayml.

    Raises:
        BuildError: the target does not import.
    """
    named = inspect.signature(locate(target)).parameters
    fitting = {key: value for key, value in offered.items() if key in named}
    return {TARGET: target, **fitting, **arguments}


def imports_users_code(node: Node, /) -> bool:
    """Whether checking a node imports code that does not come with rayml."""
    values = [value for value in node.values() if is_node(value)]
    return not is_own(str(node.get(TARGET))) or any(map(imports_users_code, values))


def names_target(key: str) -> bool:
    """Whether the value at a dotted key of a config is the name of a component."""
    return key.rpartition(".")[2] == TARGET or key in _TARGETS


def named_targets(tree: object) -> Iterator[str]:
    """Every component that a config names, those among the choices of a space included."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if str(key).rpartition(".")[2] == TARGET:
                choices = value.get("choices") if isinstance(value, Mapping) else None
                yield from (each for each in (choices or [value]) if isinstance(each, str))
            else:
                yield from named_targets(value)
    elif isinstance(tree, list | tuple):
        for each in tree:
            yield from named_targets(each)


def build(node: Node, /, **extra: Any) -> Any:
    """Build the object that a node describes.

    Args:
        node: the component node; nested nodes are built first.
        extra: further arguments, which only the program knows.

    Raises:
        BuildError: a target does not import, its arguments do not bind, or it fails on them.
        RaymlError: the target raises it.
    """
    target = locate(_path(node))
    arguments = {key: _value(value) for key, value in node.items() if key != TARGET} | extra
    _bind(_signature_of(target), node, arguments)
    try:
        return target(**arguments)
    except RaymlError:
        raise
    except Exception as error:
        raise BuildError(
            f"{node[TARGET]} fails on its arguments ({type(error).__name__}: {error})",
            found=sorted(arguments),  # names alone, since a value may be a secret
            remedy="Correct their values",
        ) from error


def _value(value: Any) -> Any:
    return build(value) if is_node(value) else value


def _path(node: Node) -> str:
    path = node.get(TARGET)
    if not isinstance(path, str) or not path:
        raise BuildError(
            "a component has no _target_",
            found=dict(node),
            remedy="Add _target_ with the dotted path of a class or function",
        )
    return current_name(path)


def _signature(path: str) -> inspect.Signature | None:
    written = read_parameters(path) if is_own(path) else None
    return _signature_of(locate(path)) if written is None else written


def _signature_of(target: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(target)
    except ValueError:  # some C functions have none; the call itself checks the arguments
        return None


def _bind(signature: inspect.Signature | None, node: Node, arguments: Mapping[str, Any]) -> None:
    if signature is None:
        return
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise BuildError(
            f"{node[TARGET]} does not take these arguments ({error})",
            found=sorted(arguments),
            remedy=f"Use its parameters {signature}",
        ) from error
