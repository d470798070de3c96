"""Importance is told, or why it is not."""

from __future__ import annotations

import pytest

from rayml.search.charts.importance import importance, importance_figure
from tests.search.simulated_sweeps import many, two_objectives


def test_shares_add_up_and_the_greatest_comes_first() -> None:
    told = importance(two_objectives())
    assert told.absent == ""
    assert sum(told.shares.values()) == pytest.approx(1)
    assert list(told.shares) == ["train.optimizer.lr", "model.width"]
    figure = importance_figure(told.shares, "accuracy", 0)
    assert figure.data[0]["x"] == sorted(figure.data[0]["x"])


def test_each_objective_has_its_own() -> None:
    told = importance(two_objectives(), objective=1)
    assert next(iter(told.shares)) == "model.width"


def test_too_few_trials() -> None:
    assert importance(many(40)).absent.startswith("It takes 20 finished trials")
