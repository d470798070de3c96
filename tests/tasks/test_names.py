"""No code outside of the tasks compares names of tasks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rayml
from rayml.tasks.regression import RegressionTask
from rayml.tasks.table import task_names

ROOT = Path(rayml.__file__).parent
NAMES = {*task_names()}


def compared(tree: ast.AST) -> Iterator[int]:
    """Lines on which a name is compared, matched, or looked up in a table."""
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = []
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            parts = [node.value]
        elif isinstance(node, ast.Dict):
            parts = [*node.keys]
        for part in parts:
            inner = [] if part is None else ast.walk(part)
            if any(isinstance(each, ast.Constant) and each.value in NAMES for each in inner):
                yield node.lineno if hasattr(node, "lineno") else 0


@pytest.mark.parametrize(
    "code",
    [
        'task == "regression"',
        '"binary" != info.task',
        'task in ("binary", "multiclass")',
        'match task:\n    case "regression":\n        pass',
        'match task:\n    case "binary" | "multiclass":\n        pass',
        'TABLE = {"binary": 1}',
    ],
)
def test_a_comparison_is_seen(code: str) -> None:
    assert list(compared(ast.parse(code)))


def test_no_other_code_compares_names_of_tasks() -> None:
    others = [path for path in ROOT.rglob("*.py") if "tasks" not in path.relative_to(ROOT).parts]
    assert len(others) > 100
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in others
        for line in compared(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_a_task_with_a_loss_of_its_own_has_no_likelihood_of_anothers() -> None:
    class Squared(RegressionTask):
        name = "squared"

        def loss(self, outputs: Any, target: Any, *, label_smoothing: Any = 0.0) -> Any:
            return (outputs.squeeze(-1) - target).square().mean(-1)

    class Renamed(RegressionTask):
        name = "renamed"

    assert RegressionTask.likelihood == Renamed.likelihood == "gaussian"
    assert Squared.likelihood is None
