"""Collect each message that rayml can raise; `python -m tests.messages` stores them.

A message is what the constructor of an error of `rayml/errors.py` is given, put together as that
error does: `problem: {found}. Remedy`. The lines of an `InvalidConfigError` are those of the
functions that gather them. A field of an f-string is shown as its `{expression}`; where that is a
name whose texts stand in the same module, each of them is a message of its own.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice, product
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STORED = Path(__file__).with_name("messages.txt")
COMMAND = ".venv/bin/python -m tests.messages"

# Errors of Python whose text is shown to users: pydantic's and Hydra's checks pass it on.
BUILTIN = frozenset({"ValueError", "TypeError", "KeyError"})
GATHERED = "InvalidConfigError"
PART = "part of others"
# A name with more texts than this is shown as a field.
MOST = 24

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A parsed module and what its names stand for."""

    name: str
    tree: ast.Module
    scopes: dict[ast.AST, Function | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._enter(self.tree, None)

    def _enter(self, node: ast.AST, scope: Function | None) -> None:
        for child in ast.iter_child_nodes(node):
            self.scopes[child] = scope
            self._enter(child, child if isinstance(child, Function) else scope)

    @cached_property
    def functions(self) -> dict[str, list[Function]]:
        found = defaultdict(list)
        for node in self.scopes:
            if isinstance(node, Function):
                found[node.name].append(node)
        return found

    @cached_property
    def calls(self) -> dict[str, list[ast.Call]]:
        found = defaultdict(list)
        for node in self.scopes:
            if isinstance(node, ast.Call):
                found[_called(node)].append(node)
        return found

    @cached_property
    def bound(self) -> dict[tuple[Function | None, str], list[ast.expr]]:
        """Values that are assigned to a name of a scope, or gathered in it."""
        found = defaultdict(list)
        for node, scope in self.scopes.items():
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    found[scope, name].append(value)
                case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Call() as value):
                    for each in names:
                        if isinstance(each, ast.Name):
                            found[scope, each.id].append(value)
                case (
                    ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                    | ast.AugAssign(target=ast.Name(id=name), value=value)
                    | ast.NamedExpr(target=ast.Name(id=name), value=value)
                ):
                    found[scope, name].append(value)
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id=name), attr="append"), args=[value]
                ):
                    found[scope, name].append(ast.List(elts=[value]))
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id=name), attr="extend"), args=[value]
                ):
                    found[scope, name].append(value)
        return found

    @cached_property
    def imported(self) -> dict[str, tuple[str, str]]:
        """Module and name there, by name here."""
        return {
            alias.asname or alias.name: (node.module, alias.name)
            for node in self.scopes
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        }


class Collector:
    """Follows the texts of errors through the modules of a package."""

    def __init__(self, modules: dict[str, Module]) -> None:
        self.modules = modules
        self.found: dict[str, set[str]] = defaultdict(set)
        self._fed: set[tuple[str, ast.AST]] = set()
        self._entered: set[tuple[Function | None, str]] = set()
        self._errors = _errors(modules)

    def collect(self) -> dict[str, set[str]]:
        """Messages by module, each after the name of its error."""
        for module in self.modules.values():
            for node, scope in module.scopes.items():
                if isinstance(node, ast.Call):
                    self._call(module, scope, node)
        return self.found

    def _call(self, module: Module, scope: Function | None, node: ast.Call) -> None:
        name = _called(node)
        keywords = {each.arg: each.value for each in node.keywords}
        if name == GATHERED and node.args:
            self._lines(module, scope, node.args[0])
        elif name in self._errors and node.args:
            found = f": {{{_plain(keywords['found'])}}}" if "found" in keywords else ""
            remedy = keywords.get("remedy", ast.Constant(""))
            texts = product(
                self._texts(module, scope, node.args[0]), self._texts(module, scope, remedy)
            )
            for problem, then in texts:
                self._add(module, name, f"{problem}{found}{f'. {then}' if then else ''}")
        elif name in BUILTIN and node.args and _written(node.args[0]):
            self._say(module, scope, name, node.args[0])
        if "problems" in keywords:
            self._lines(module, scope, keywords["problems"])

    def _add(self, module: Module, error: str, text: str) -> None:
        if any(letter.isalpha() for letter in _outside(text)):
            self.found[module.name].add(f"{error}: {' '.join(text.split())}")

    def _say(self, module: Module, scope: Function | None, error: str, node: ast.expr) -> None:
        for text in self._texts(module, scope, node):
            self._add(module, error, text)

    def _lines(self, module: Module, scope: Function | None, node: ast.expr) -> None:
        """Add the lines that an expression for several of them gives."""
        match node:
            case _ if _written(node):
                self._say(module, scope, GATHERED, node)
            case (
                ast.ListComp(elt=line, generators=loops)
                | ast.GeneratorExp(elt=line, generators=loops)
            ):
                self._say(module, scope, GATHERED, line)
                for loop in loops:
                    self._lines(module, scope, loop.iter)
            case ast.Name(id=name) if (scope, name) not in self._entered:
                self._entered.add((scope, name))
                for value in module.bound.get((scope, name), ()):
                    self._lines(module, scope, value)
            case _ if parts := _several(node):
                for each in parts:
                    self._lines(module, scope, each)
            case ast.Call():
                self._feed(module, node, GATHERED)

    def _feed(self, module: Module, call: ast.Call, error: str) -> None:
        """Add the texts that a called function of the package yields or returns."""
        for home, function in self._resolve(module, call):
            if (error, function) in self._fed or not _gives_text(function):
                continue
            self._fed.add((error, function))
            for node, scope in home.scopes.items():
                if scope is not function:
                    continue
                match node:
                    case ast.Yield(value=ast.expr() as line):
                        self._say(home, function, error, line)
                    case ast.YieldFrom(value=lines):
                        self._lines(home, function, lines)
                    case ast.Return(value=ast.expr() as value) if error == GATHERED:
                        self._lines(home, function, value)
                    case ast.Return(value=ast.expr() as value):
                        self._say(home, function, error, value)

    def _resolve(self, module: Module, call: ast.Call) -> Iterator[tuple[Module, Function]]:
        name = _called(call)
        if isinstance(call.func, ast.Name) and name in module.imported:
            place, name = module.imported[name]
            homes = [self.modules[place]] if place in self.modules else []
        elif name in module.functions:
            homes = [module]
        else:  # a method of another module's class, where one class alone has it
            homes = [each for each in self.modules.values() if name in each.functions]
            homes = homes if len(homes) == 1 and isinstance(call.func, ast.Attribute) else []
        for home in homes:
            for function in home.functions.get(name, ()):
                yield home, function

    def _texts(self, module: Module, scope: Function | None, node: ast.expr) -> list[str]:
        """The texts that an expression can give; a single field where they are too many."""
        texts = list(islice(self._ways(module, scope, node), MOST + 1))
        return texts if 0 < len(texts) <= MOST else [f"{{{_plain(node)}}}"]

    def _ways(self, module: Module, scope: Function | None, node: ast.expr) -> Iterator[str]:
        match node:
            case ast.Constant(value=str() as text):
                yield text
            case ast.JoinedStr(values=parts):
                yield from self._joined(module, scope, parts)
            case ast.BinOp(left=left, right=right) if _written(node):
                yield from self._joined(module, scope, [left, right])
            case ast.FormattedValue(value=value):
                yield from self._texts(module, scope, value)
            case ast.Subscript(value=value) if _written(value):
                yield from self._texts(module, scope, value)
            case ast.IfExp() | ast.BoolOp():
                for each in _several(node):
                    yield from self._texts(module, scope, each)
            case ast.Name(id=name):
                yield from self._named(module, scope, name)
            case ast.Call():
                self._feed(module, node, PART)
                yield f"{{{_plain(node)}}}"

    def _joined(
        self, module: Module, scope: Function | None, parts: list[ast.expr]
    ) -> Iterator[str]:
        for each in product(*(self._texts(module, scope, part) for part in parts)):
            yield "".join(each)

    def _named(self, module: Module, scope: Function | None, name: str) -> Iterator[str]:
        """The texts of a name: assigned in its function, given to it, or of the module."""
        if (scope, f"{name}…") in self._entered:
            return
        self._entered.add((scope, f"{name}…"))  # a function that calls itself ends here
        values = [(scope, each) for each in module.bound.get((scope, name), ())]
        if scope is not None and not values:
            values = list(_given(module, scope, name))
        if not values and name not in _parameters(scope):
            values = [(None, each) for each in module.bound.get((None, name), ())]
        ways = {
            way
            for home, value in values
            if _written(value)
            for way in self._texts(module, home, value)
        }
        self._entered.remove((scope, f"{name}…"))
        if any(" " in way for way in ways):
            yield from sorted(ways)
        if not any(" " in way for way in ways) or not all(_written(each) for _, each in values):
            yield f"{{{name}}}"


def _errors(modules: dict[str, Module]) -> frozenset[str]:
    """Names of the classes of errors: `RaymlError` and all that derive from it."""
    bases = {
        node.name: {_last(base) for base in node.bases}
        for module in modules.values()
        for node in module.scopes
        if isinstance(node, ast.ClassDef)
    }
    found = {"RaymlError"}
    while grown := {name for name, of in bases.items() if of & found} - found:
        found |= grown
    return frozenset(found)


def _given(
    module: Module, function: Function, name: str
) -> Iterator[tuple[Function | None, ast.expr]]:
    """What the module's own calls of a function give to one of its parameters."""
    names = _parameters(function)
    if name not in names:
        return
    for call in module.calls.get(function.name, ()):
        skipped = bool(names[:1] in (["self"], ["cls"]))
        place = names.index(name) - skipped
        values = [each.value for each in call.keywords if each.arg == name]
        values += call.args[place : place + 1]
        for value in values:
            yield module.scopes[call], value


def _parameters(function: Function | None) -> list[str]:
    if function is None:
        return []
    given = function.args
    return [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]


def _gives_text(function: Function) -> bool:
    return function.returns is not None and "str" in ast.unparse(function.returns)


def _called(call: ast.Call) -> str:
    return _last(call.func)


def _last(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _several(node: ast.expr) -> list[ast.expr]:
    """The expressions that one is made of, each of which may give lines of its own."""
    match node:
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            return [each.value if isinstance(each, ast.Starred) else each for each in parts]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [left, right]
        case ast.BoolOp(values=parts):
            return parts
        case ast.IfExp(body=body, orelse=other):
            return [body, other]
        case ast.Call(func=ast.Name(id="list" | "tuple" | "sorted"), args=[inner]):
            return [inner]
    return []


def _written(node: ast.expr) -> bool:
    """Whether an expression is a text that stands in the source."""
    match node:
        case ast.Constant(value=str()) | ast.JoinedStr():
            return True
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _written(left) or _written(right)
        case ast.IfExp(body=body, orelse=other):
            return _written(body) or _written(other)
        case ast.Subscript(value=value):
            return _written(value)
    return False


def _plain(node: ast.expr) -> str:
    """The source of an expression; the same text with each version of Python."""
    return ast.unparse(_Flat().visit(ast.parse(ast.unparse(node), mode="eval")))


class _Flat(ast.NodeTransformer):
    """Puts a plain text in place of an f-string, which versions of Python quote differently."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        texts = [
            str(each.value) if isinstance(each, ast.Constant) else f"{{{_plain(each.value)}}}"
            for each in node.values
            if isinstance(each, ast.Constant | ast.FormattedValue)
        ]
        return ast.Constant("".join(texts))


def _outside(text: str) -> str:
    """A message without its fields."""
    depth, kept = 0, ""
    for letter in text:
        depth += (letter == "{") - (letter == "}")
        kept += letter if depth == 0 else ""
    return kept


def collected(package: Path = ROOT / "rayml") -> str:
    """Every message of a package, a line each, below the name of its module."""
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        modules[name] = Module(name, ast.parse(path.read_text()))
    found = Collector(modules).collect()
    sections = [
        "\n".join([name, *(f"  {line}" for line in sorted(found[name]))]) for name in sorted(found)
    ]
    return "\n\n".join(sections) + "\n"


if __name__ == "__main__":
    STORED.write_text(collected())
