"""What trees are fitted to: an objective of their library, or the loss of a user's task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rayml.errors import ConfigError, DivergedError
from rayml.models.modules.arrays import as_tensor
from rayml.tasks.task import Task

Gradients = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
# Below it a leaf's value, gradient by curvature, means nothing.
_LEAST_CURVATURE = 1e-6


class OwnLoss:
    """The derivatives of a task's own loss, as libraries ask for them before each tree.

    Args:
        task: its loss is a mean over rows, each of which counts by itself.

    Attributes:
        last: the loss when it was last asked, before the latest tree.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self.last = float("nan")

    def __call__(self, scores: npt.NDArray[Any], data: Any) -> Gradients:
        """First and second derivatives by each output of each row.

        Args:
            scores: outputs of the training rows, [rows] or [rows, outputs].
            data: with the targets in `data.get_label()`.

        Raises:
            ConfigError: the loss has no derivative.
            DivergedError: a derivative is not finite.
        """
        task, rows = self._task, len(scores)
        outputs = torch.tensor(scores.reshape(rows, task.outputs), requires_grad=True)
        label = np.asarray(data.get_label())
        target = as_tensor(label.astype(np.int64) if task.has_classes else label.astype(np.float32))
        try:
            with torch.inference_mode(mode=False), torch.enable_grad():
                loss = task.loss(outputs, target)
                (first,) = torch.autograd.grad(loss * rows, outputs, create_graph=True)
                second = _curvatures(first, outputs)
        except RuntimeError as error:
            raise ConfigError(
                f"the loss of task {task.name!r} has no derivative ({error})",
                remedy="Compute it with differentiable operations of PyTorch",
            ) from error
        self.last = float(loss.detach())
        found = [each.detach().numpy().reshape(scores.shape) for each in (first, second)]
        if not all(np.isfinite(each).all() for each in found):
            raise DivergedError(f"a derivative of the loss of task {task.name!r} is not finite")
        return found[0].astype(np.float32), found[1].astype(np.float32)


@dataclass(frozen=True, slots=True)
class TreeObjective:
    """What trees are fitted to.

    Attributes:
        parameters: of the library.
        own: the task's own loss; None of an objective that the library has.
    """

    parameters: Mapping[str, Any]
    own: OwnLoss | None = None


def objective_of(task: Task) -> TreeObjective:
    """LightGBM's own objective where it has the task's loss, else one by derivatives.

    LightGBM begins with the best constant for its own objectives, and with zeros for others.
    """
    match task.likelihood:
        case "bernoulli":
            return TreeObjective({"objective": "binary", "metric": "binary_logloss"})
        case "categorical":
            named = {"objective": "multiclass", "metric": "multi_logloss"}
            return TreeObjective(named | {"num_class": task.outputs})
        case "gaussian":
            return TreeObjective({"objective": "regression", "metric": "l2"})
    unnamed = {"objective": "none", "metric": "none", "num_class": task.outputs}
    return TreeObjective(unnamed, OwnLoss(task))


def xgboost_objective_of(task: Task) -> TreeObjective:
    """XGBoost's own objective where it has the task's loss, else one by derivatives.

    XGBoost begins with the best constant for its own objectives, and with zeros for others.
    """
    several = {"objective": "multi:softprob", "num_class": task.outputs}
    match task.likelihood:
        case "bernoulli":
            return TreeObjective({"objective": "binary:logistic"})
        case "categorical":
            return TreeObjective(several)
        case "gaussian":
            return TreeObjective({"objective": "reg:squarederror"})
    # A name that says how many trees an iteration has; its loss is never asked for.
    named = several if task.outputs > 1 else {"objective": "reg:squarederror"}
    return TreeObjective({**named, "base_score": 0.0}, OwnLoss(task))


def objective_texts(outputs: int) -> tuple[str | None, ...]:
    """How the text of a model may name its objective; None where it does not."""
    if outputs == 1:
        return ("binary sigmoid:1", "regression", None)
    return (f"multiclass num_class:{outputs}", None)


def _curvatures(first: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    """The diagonal of each row's second derivatives; 1 where the loss is piecewise linear."""
    if not first.requires_grad:
        return torch.ones_like(outputs)
    columns = []
    for place in range(outputs.shape[1]):
        (each,) = torch.autograd.grad(
            first[:, place].sum(), outputs, retain_graph=True, materialize_grads=True
        )
        columns.append(each[:, place])
    second = torch.stack(columns, 1).detach()
    if not second.count_nonzero():
        return torch.ones_like(second)
    return second.clamp(min=_LEAST_CURVATURE)
