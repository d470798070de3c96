"""The house stays one that a stranger can live in: small folders, files and functions, no circles.

Imports count wherever they stand, in functions and for types too, since whoever reads a module
meets them all.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "rayml").rglob("*.py"))
GENERATED = {"open_inference_pb2"}

MOST_FILES_A_FOLDER = 14
LONGEST_FILE = 400
LONGEST_FUNCTION = 60


def module_of(path: Path) -> str:
    """Dotted name of a file of the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.Module, known: Mapping[str, object]) -> Iterator[str]:
    """The modules among the known ones that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for each in node.names:
                inner = f"{node.module}.{each.name}"
                if inner in known:
                    yield inner
                elif node.module in known:
                    yield node.module


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of names that lead to one another (Tarjan 1972, strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1 or name in graph[name]:
                found.append(sorted(group))

    for name in graph:
        if name not in index:
            visit(name)
    return found


def test_no_folder_holds_more_files_than_a_reader_keeps_in_mind() -> None:
    folders = {path.parent for path in FILES}
    counts = {str(each.relative_to(ROOT)): len(list(each.glob("*.py"))) for each in folders}
    assert {name: count for name, count in counts.items() if count > MOST_FILES_A_FOLDER} == {}


def test_no_file_is_longer_than_it_is_read() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES}
    assert {name: count for name, count in lengths.items() if count > LONGEST_FILE} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long = {
        f"{module_of(path)}.{node.name}": node.end_lineno - node.lineno + 1
        for path in FILES
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= LONGEST_FUNCTION
    }
    assert long == {}


def test_no_modules_import_one_another_in_a_circle() -> None:
    trees = {module_of(path): ast.parse(path.read_bytes()) for path in FILES}
    graph = {name: set(imports(tree, trees)) - {name} for name, tree in trees.items()}
    assert circles(graph) == []


def test_no_packages_of_a_room_import_one_another_in_a_circle() -> None:
    """`rayml.serve.http` and `rayml.serve.model`, say; modules directly in a room are their own."""
    trees = {module_of(path): ast.parse(path.read_bytes()) for path in FILES}
    rooms = {name: ".".join(name.split(".")[:3]) for name in trees}
    graph: dict[str, set[str]] = {room: set() for room in rooms.values()}
    for name, tree in trees.items():
        graph[rooms[name]] |= {rooms[each] for each in imports(tree, trees)} - {rooms[name]}
    assert circles(graph) == []


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ({"a": {"b"}, "b": set()}, []),
        ({"a": {"b"}, "b": {"a"}, "c": {"a"}}, [["a", "b"]]),
        ({"a": {"b"}, "b": {"c"}, "c": {"a"}}, [["a", "b", "c"]]),
        ({"a": {"a"}}, [["a"]]),
    ],
)
def test_circles_are_found(graph: dict[str, set[str]], expected: list[list[str]]) -> None:
    assert circles(graph) == expected
