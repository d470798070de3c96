"""Derivatives of tasks' own losses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from rayml.errors import ConfigError, DivergedError
from rayml.models.trees.objective import OwnLoss, objective_of
from rayml.testing.rows import task_of


def given(task: Any, scores: np.ndarray, target: np.ndarray) -> tuple[OwnLoss, Any]:
    own = OwnLoss(task)
    return own, own(scores, SimpleNamespace(get_label=lambda: target))


def test_those_of_two_classes_are_the_known_ones() -> None:
    scores, target = np.linspace(-3, 3, 7), np.array([0, 1, 0, 1, 0, 1, 1], np.float32)
    own, (first, second) = given(task_of("binary"), scores, target)
    p = 1 / (1 + np.exp(-scores))
    assert np.allclose(first, p - target, atol=1e-6)
    assert np.allclose(second, p * (1 - p), atol=1e-6)
    assert own.last == pytest.approx(-np.log(np.where(target == 1, p, 1 - p)).mean())


def test_those_of_several_classes_are_the_known_ones() -> None:
    scores = np.random.default_rng(0).normal(size=(9, 3))
    target = np.arange(9, dtype=np.float32) % 3
    _, (first, second) = given(task_of("multiclass"), scores, target)
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    assert np.allclose(first, p - np.eye(3)[target.astype(int)], atol=1e-6)
    assert np.allclose(second, p * (1 - p), atol=1e-6)


class Absolute:
    """A loss without curvature."""

    name, outputs, has_classes, likelihood = "absolute", 1, False, None

    def loss(self, outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (outputs.squeeze(-1) - target).abs().mean(-1)


def test_a_loss_without_curvature_takes_steps_of_its_slope() -> None:
    _, (first, second) = given(Absolute(), np.array([-1.0, 2.0]), np.zeros(2, np.float32))
    assert first.tolist() == [-1, 1]
    assert second.tolist() == [1, 1]


class Rounded(Absolute):
    def loss(self, outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return torch.tensor(outputs.detach().numpy().round().mean())


def test_a_loss_without_derivative_is_refused() -> None:
    with pytest.raises(ConfigError, match="the loss of task 'absolute' has no derivative"):
        given(Rounded(), np.zeros(3), np.zeros(3, np.float32))


def test_derivatives_that_are_not_finite_end_the_trial() -> None:
    with pytest.raises(DivergedError, match="is not finite"):
        given(task_of("regression"), np.array([np.inf, 0]), np.zeros(2, np.float32))


def test_tasks_of_rayml_have_objectives_of_lightgbm() -> None:
    for name in ("binary", "multiclass", "regression"):
        found = objective_of(task_of(name))
        assert found.own is None
        assert found.parameters["objective"] == name
    assert objective_of(Absolute()).own is not None  # type: ignore[arg-type]
