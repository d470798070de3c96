"""Parameters of rayml's own components, read from their source without importing them.

A model's module imports PyTorch, which takes seconds that the command that plans a sweep need
not wait for. The code of a user's component is imported instead, since a check has to find out
whether that works.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from inspect import Parameter, Signature
from pathlib import Path

_OWN = "rayml."


def is_own(path: str) -> bool:
    """Whether a dotted path names a component that comes with rayml."""
    return path.startswith(_OWN)


def read_parameters(path: str) -> Signature | None:
    """The parameters of one of rayml's own components.

    Args:
        path: dotted path of a class or function.

    Returns:
        None where the source does not show them: nothing lies at that path, a decorator may
        change them, or a class inherits its constructor.
    """
    module, _, name = path.rpartition(".")
    for node in _definitions(module):
        if node.name == name and not node.decorator_list:
            return _constructor(node) if isinstance(node, ast.ClassDef) else _parameters(node, 0)
    return None


def _definitions(module: str) -> Iterator[ast.ClassDef | ast.FunctionDef]:
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        return
    for node in ast.parse(Path(found.origin).read_bytes()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node


def _constructor(node: ast.ClassDef) -> Signature | None:
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            return _parameters(each, 1)
    return None


def _parameters(function: ast.FunctionDef, bound: int) -> Signature:
    """The parameters after the first `bound` ones, such as `self`."""
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    optional = len(positional) - len(given.defaults)
    parameters = [
        _parameter(
            each,
            Parameter.POSITIONAL_ONLY
            if index < len(given.posonlyargs)
            else Parameter.POSITIONAL_OR_KEYWORD,
            given.defaults[index - optional] if index >= optional else None,
        )
        for index, each in enumerate(positional)
    ]
    if given.vararg:
        parameters.append(_parameter(given.vararg, Parameter.VAR_POSITIONAL, None))
    parameters += [
        _parameter(each, Parameter.KEYWORD_ONLY, default)
        for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
    ]
    if given.kwarg:
        parameters.append(_parameter(given.kwarg, Parameter.VAR_KEYWORD, None))
    return Signature(parameters[bound:])


class _Written:
    """A default as the source writes it, for messages."""

    def __init__(self, node: ast.expr) -> None:
        self._text = ast.unparse(node)

    def __repr__(self) -> str:
        return self._text


def _parameter(argument: ast.arg, kind: object, default: ast.expr | None) -> Parameter:
    return Parameter(
        argument.arg,
        kind,  # type: ignore[arg-type]  # a member of an enumeration that inspect does not name
        default=Parameter.empty if default is None else _Written(default),
        annotation=Parameter.empty
        if argument.annotation is None
        else ast.unparse(argument.annotation),
    )
