from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rayml.config.compose import compose
from rayml.stages.context import Context
from rayml.stages.sweeps.metric import with_metric
from rayml.types import TargetInfo

CLASSES = TargetInfo("y", "binary", classes=("no", "yes"))


def data(no: int, yes: int, target: TargetInfo = CLASSES) -> Any:
    shares = (no / max(no + yes, 1), yes / max(no + yes, 1))
    return SimpleNamespace(preprocessor=SimpleNamespace(target=target), class_shares=lambda: shares)


def context(*overrides: str, **changes: Any) -> Context:
    return Context(composed=compose(["data=breast_cancer", *overrides]), **changes)


def test_a_rare_class_changes_what_is_optimised(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = with_metric(context(), data(970, 30))
    assert chosen.config.task.metric == "average_precision"
    assert "metric: average_precision" in chosen.composed.yaml()
    shown = " ".join(capsys.readouterr().out.split())
    assert "only 3 % of the training rows are 'yes'" in shown


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (context(), data(600, 400)),
        (context("task.metric=accuracy"), data(970, 30)),
        (context(resumed=Path("sweep")), data(970, 30)),
        (context("search.objectives=[average_precision]"), data(970, 30)),
        (context(), data(0, 0, TargetInfo("y", "regression"))),
    ],
    ids=["balanced", "named", "resumed", "an objective already", "regression"],
)
def test_what_is_optimised_stays(
    given: Context, seen: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert with_metric(given, seen) is given
    assert capsys.readouterr().out == ""
