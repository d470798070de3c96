"""Whether a plain value is of the type that a parameter declares."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from typing import Any

_SCALARS: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "str": (str,),
    "Path": (str,),
    "None": (type(None),),
}
_LISTS = {"list", "tuple", "Sequence", "Iterable", "Collection", "set", "frozenset"}
_MAPPINGS = {"dict", "Mapping", "MutableMapping"}


def fits(value: object, annotation: object) -> bool:
    """Whether a plain value is of a declared type, as far as that type is plain itself.

    Args:
        value: a number, string, truth value, None, or a list or mapping of them.
        annotation: a type, or the text of one; any value fits a type that is not plain.
    """
    if annotation is inspect.Parameter.empty:
        return True
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    try:
        declared = ast.parse(text, mode="eval").body
    except SyntaxError:
        return True
    return _fits(value, declared)


def _fits(value: Any, declared: ast.expr) -> bool:
    match declared:
        case ast.Constant(value=None):
            return value is None
        case ast.Constant(value=str(text)):  # a type whose name is quoted
            return fits(value, text)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _fits(value, left) or _fits(value, right)
        case ast.Subscript(value=outer, slice=inner):
            return _fits_generic(value, _name(outer), inner)
        case _:
            return _fits_name(value, _name(declared))


def _fits_name(value: Any, name: str) -> bool:
    if name == "bool":
        return isinstance(value, bool)
    if name in _SCALARS:
        return isinstance(value, _SCALARS[name]) and not isinstance(value, bool)
    if name in _LISTS:
        return isinstance(value, list | tuple)
    return isinstance(value, Mapping) if name in _MAPPINGS else True


def _fits_generic(value: Any, name: str, inner: ast.expr) -> bool:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if name in _LISTS:
        return isinstance(value, list | tuple) and all(
            any(_fits(item, part) for part in parts if not _is_ellipsis(part)) for item in value
        )
    if name in _MAPPINGS:
        return isinstance(value, Mapping) and all(_fits(item, parts[-1]) for item in value.values())
    match name:
        case "Optional":
            found = value is None or _fits(value, parts[0])
        case "Union":
            found = any(_fits(value, part) for part in parts)
        case "Literal":
            # By their text, which keeps True and 1 apart.
            found = any(repr(value) == ast.unparse(part) for part in parts)
        case "Annotated" | "Final":
            found = _fits(value, parts[0])
        case _:
            found = True
    return found


def _is_ellipsis(part: ast.expr) -> bool:
    return isinstance(part, ast.Constant) and part.value is ...


def _name(declared: ast.expr) -> str:
    """The last part of a dotted name; empty of anything else."""
    if isinstance(declared, ast.Attribute):
        return declared.attr
    return declared.id if isinstance(declared, ast.Name) else ""
