"""Builds the components that stored and sent files name, if they are rayml's own or trusted.

A component is imported only if its name is trusted. It is called only if it is of the right role
and defined where its name says, with plain arguments of the types that its constructor declares.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from rayml.config.components.annotations import fits
from rayml.config.components.build import build
from rayml.config.components.parameters import read_parameters
from rayml.config.components.registered import EXPECTED, GIVEN, OWN, Role, is_component
from rayml.config.components.stored_node import StoredNode
from rayml.config.components.trust import Trust
from rayml.errors import BuildError

_MOST_CHARACTERS = 500
"""Of a dotted path."""


def build_trusted(node: StoredNode, role: Role, trust: Trust, /, **extra: Any) -> Any:
    """Build the component that a file names.

    Args:
        node: as the file holds it.
        role: of the component.
        trust: whose code may run.
        extra: further arguments, which only the program knows.

    Raises:
        BuildError: it is not trusted, not of that role, or does not take its arguments.
        RaymlError: the component raises it.
    """
    require_trusted(node, role, trust)
    return build(node.plain(), **extra)


def require_trusted(node: StoredNode, role: Role, trust: Trust, /) -> None:
    """Check that a file's component may be built.

    Rayml's own components are checked without importing them.

    Raises:
        BuildError: it is not trusted, not of that role, or does not take its arguments.
    """
    require_target(node.target, role, trust)
    own = node.target in OWN[role]
    accepts = read_parameters(node.target) if own else None
    if accepts is None:
        accepts = _parameters(locate_trusted(node.target, role, trust), node.target)
    _require_arguments(node, accepts, GIVEN.get(role, ()))


def require_target(target: str, role: Role, trust: Trust) -> None:
    """Check that a component may be imported.

    Raises:
        BuildError: it is not trusted, or not one of rayml's own of that role.
    """
    if len(target) <= _MOST_CHARACTERS and _trusts(target, role, trust):
        return
    if len(target) > _MOST_CHARACTERS:
        raise BuildError(
            f"the name of a {role} in a file has {len(target):,} characters, more than"
            f" {_MOST_CHARACTERS}",
            remedy="Restore the file from a copy",
        )
    if target.startswith("rayml."):
        own = ", ".join(sorted(OWN[role]))
        raise BuildError(
            f"rayml has no {role} named {target!r}",
            remedy=f"Its own are {own}" if own else "Name one of a module that you trust",
        )
    raise BuildError(
        f"a file names {target!r} as its {role}, and that code is not trusted; none of it ran",
        remedy=trust.remedy(target),
    )


def locate_trusted(target: str, role: Role, trust: Trust) -> Callable[..., Any]:
    """Import a component that a file names.

    Raises:
        BuildError: it is not trusted, does not import, or is not a component of that role which
            the named module defines.
    """
    require_target(target, role, trust)
    module, _, name = target.rpartition(".")
    if target not in OWN[role] and not _defines(module, name):
        raise _no_component(target, role, f"{module} has no class or function {name}")
    try:
        # Not by attributes of modules, which lead anywhere: `shop.nets.os.system`.
        found = vars(import_module(module)).get(name)
    except Exception as error:  # a user's module may raise anything when it is imported
        raise BuildError(
            f"{target} cannot be imported ({type(error).__name__}: {error})",
            remedy="Install its package, or add its folder to PYTHONPATH",
        ) from error
    if target in OWN[role]:
        return typing.cast("Callable[..., Any]", found)
    place = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
    if target not in {place, *trust.targets} and not _trusts(place, role, trust):
        raise _no_component(target, role, f"{module} imports it from code that is not trusted")
    if not is_component(found, role):
        raise _no_component(target, role, f"it is not {EXPECTED[role]}")
    return typing.cast("Callable[..., Any]", found)


def _trusts(target: str, role: Role, trust: Trust) -> bool:
    return target in OWN[role] or trust.allows(target)


def _no_component(target: str, role: Role, why: str) -> BuildError:
    return BuildError(
        f"{target!r} is not a {role}: {why}; it was not called",
        remedy=f"Name {EXPECTED[role]}, or a function annotated to return one",
    )


def _defines(module: str, name: str) -> bool:
    """Whether the source of a module defines or imports a name, without running it.

    True where there is no source to read. The packages above the module are imported.
    """
    try:
        spec = importlib.util.find_spec(module)
    except Exception as error:
        raise BuildError(
            f"the module {module} cannot be found ({type(error).__name__}: {error})",
            remedy="Install its package, or add its folder to PYTHONPATH",
        ) from error
    if spec is None:
        raise BuildError(
            f"there is no module {module}",
            remedy="Install its package, or add its folder to PYTHONPATH",
        )
    if spec.origin is None or not spec.origin.endswith(".py"):
        return True
    try:
        tree = ast.parse(Path(spec.origin).read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        raise BuildError(
            f"the module {module} cannot be read ({error})", remedy="Correct its source"
        ) from error
    return name in _definitions(tree.body)


def _definitions(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef):
            yield statement.name
        elif isinstance(statement, ast.ImportFrom):
            yield from (each.asname or each.name for each in statement.names)
        elif isinstance(statement, ast.If | ast.Try | ast.With):
            for field in ("body", "orelse", "handlers", "finalbody"):
                inner = getattr(statement, field, [])
                for each in inner:
                    yield from _definitions(
                        each.body if isinstance(each, ast.ExceptHandler) else [each]
                    )


def _parameters(target: Callable[..., Any], path: str) -> inspect.Signature:
    try:
        return inspect.signature(target)
    except (TypeError, ValueError) as error:
        raise BuildError(
            f"the parameters of {path} are unknown, so the arguments in a file cannot be checked",
            remedy="Give it a constructor that is written in Python",
        ) from error


def _require_arguments(
    node: StoredNode, accepts: inspect.Signature, given: tuple[str, ...]
) -> None:
    """Check arguments by the names and declared types of the parameters."""
    if clash := sorted(set(given) & set(node.arguments)):
        raise BuildError(
            f"a file sets the argument {clash[0]!r} of {node.target}, which rayml itself gives",
            remedy="Remove it from the file",
        )
    try:
        bound = accepts.bind(**dict(node.arguments), **dict.fromkeys(given))
    except TypeError as error:
        raise BuildError(
            f"{node.target} does not take the arguments of the file ({error})",
            found=sorted(node.arguments),
            remedy=f"Use its parameters {accepts}",
        ) from error
    for name, value in _each(bound, accepts):
        declared = accepts.parameters[name].annotation
        if name not in given and not fits(value, declared):
            shown = declared if isinstance(declared, str) else inspect.formatannotation(declared)
            raise BuildError(
                f"the argument {name} of {node.target} has the wrong type",
                found=value,
                remedy=f"Write it as {shown}",
            )


def _each(bound: inspect.BoundArguments, accepts: inspect.Signature) -> Iterator[tuple[str, Any]]:
    for name, value in bound.arguments.items():
        if accepts.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            yield from ((name, each) for each in typing.cast("Mapping[str, Any]", value).values())
        else:
            yield name, value
