"""Tasks: what a model's outputs mean, how they are trained, and how they are measured."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType

import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's documentation uses
from torch import Tensor

from rayml.tasks.metrics import METRICS, Measure, Metric
from rayml.tasks.objectives import LOSS, choose_objective
from rayml.types import Direction, TargetInfo


class Task(ABC):
    """Loss, decoding and metrics of one kind of target.

    Args:
        info: the target.
        metric: the metric that is optimised, or `loss`; None takes the task's usual one.
        metrics: further metrics by name.

    Attributes:
        metric: name of the metric that is optimised.
        direction: whether it is minimised or maximised.

    Raises:
        ConfigError: a metric that is unknown, named twice, or has no direction.
    """

    def __init__(
        self, info: TargetInfo, *, metric: str | None, metrics: Mapping[str, Metric]
    ) -> None:
        objective = choose_objective(info.task, metric, metrics)
        self.info = info
        self.metric = objective.metric
        self.direction: Direction = objective.direction
        self._own = METRICS[info.task]
        self.metrics: Mapping[str, Measure] = {**self._own, **metrics}

    @abstractmethod
    def loss(
        self, outputs: Tensor, target: Tensor, label_smoothing: float | Tensor = 0.0
    ) -> Tensor:
        """Mean loss over the rows of [..., rows, outputs], shape [...].

        Args:
            outputs: of the model, or of stacked ones.
            target: encoded, [rows] or with the same leading dimensions.
            label_smoothing: in [0, 1); of stacked models [lanes, 1].
        """

    @abstractmethod
    def predict(self, outputs: Tensor) -> Tensor:
        """Decode outputs [..., rows, outputs] into what the task predicts."""

    @abstractmethod
    def pool(self, outputs: Tensor) -> Tensor:
        """Outputs [rows, outputs] whose prediction is the mean of several models' predictions.

        Args:
            outputs: of an ensemble's members, [members, rows, outputs].
        """

    def truth(self, target: Tensor) -> Tensor:
        """Encoded targets as the metrics take them."""
        return target

    def evaluate(self, outputs: Tensor, target: Tensor) -> dict[str, float]:
        """Measure the outputs of one model: `loss` and every metric by name.

        Args:
            outputs: [rows, outputs].
            target: encoded, [rows].
        """
        (measured,) = self.evaluate_lanes(outputs.unsqueeze(0), target)
        return measured

    def evaluate_lanes(self, outputs: Tensor, target: Tensor) -> list[dict[str, float]]:
        """Measure stacked models at once, a mapping each; see `evaluate`.

        Args:
            outputs: [lanes, rows, outputs].
            target: encoded, [rows].
        """
        prediction, truth = self.predict(outputs), self.truth(target)
        values = {LOSS: self.loss(outputs, target).tolist()}
        for name, metric in self.metrics.items():
            if name in self._own:
                values[name] = metric(prediction, truth).tolist()  # type: ignore[union-attr]
            else:  # a user's metric knows one model, and may write to what it is given
                values[name] = [float(metric(each.clone(), truth.clone())) for each in prediction]
        return [
            {name: lanes[lane] for name, lanes in values.items()} for lane in range(len(outputs))
        ]


class BinaryTask(Task):
    """Two classes: one logit, that of the positive class."""

    def loss(
        self, outputs: Tensor, target: Tensor, label_smoothing: float | Tensor = 0.0
    ) -> Tensor:
        """Cross entropy; smoothing moves each target that far towards even odds."""
        odds = target.to(outputs.dtype) * (1 - label_smoothing) + label_smoothing / 2
        logits = outputs.squeeze(-1)
        each = F.binary_cross_entropy_with_logits(
            logits, odds.expand(logits.shape), reduction="none"
        )
        return each.mean(-1)

    def predict(self, outputs: Tensor) -> Tensor:
        """Probability of the positive class, [..., rows]."""
        return outputs.squeeze(-1).sigmoid()

    def pool(self, outputs: Tensor) -> Tensor:
        """The logit of the mean probability."""
        # Of both classes, since 1 - p has no digits left where p is near 1.
        return F.logsigmoid(outputs).logsumexp(0) - F.logsigmoid(-outputs).logsumexp(0)


class MulticlassTask(Task):
    """Several classes: a logit each."""

    def loss(
        self, outputs: Tensor, target: Tensor, label_smoothing: float | Tensor = 0.0
    ) -> Tensor:
        """Cross entropy with label smoothing (Szegedy et al. 2016)."""
        # F.cross_entropy takes no tensor as label_smoothing, so no value a lane.
        log_odds = outputs.log_softmax(-1)
        index = target.expand(log_odds.shape[:-1]).unsqueeze(-1)
        hit = log_odds.gather(-1, index).squeeze(-1)
        return -((1 - label_smoothing) * hit + label_smoothing * log_odds.mean(-1)).mean(-1)

    def predict(self, outputs: Tensor) -> Tensor:
        """Probabilities of the classes, [..., rows, classes]."""
        return outputs.softmax(-1)

    def pool(self, outputs: Tensor) -> Tensor:
        """Logarithms of the mean probabilities."""
        return outputs.log_softmax(-1).logsumexp(0) - math.log(len(outputs))


class RegressionTask(Task):
    """A number: one output, the standardised value."""

    def loss(
        self,
        outputs: Tensor,
        target: Tensor,
        label_smoothing: float | Tensor = 0.0,  # noqa: ARG002 - there are no labels
    ) -> Tensor:
        """Mean squared error of standardised values."""
        return (outputs.squeeze(-1) - target).square().mean(-1)

    def predict(self, outputs: Tensor) -> Tensor:
        """Values in the target's own units, [..., rows].

        They are float64: in float32 a mean that is large against the scale would swallow the
        digits that the model predicts.
        """
        return self.truth(outputs.squeeze(-1))

    def pool(self, outputs: Tensor) -> Tensor:
        """The mean value."""
        return outputs.mean(0)

    def truth(self, target: Tensor) -> Tensor:
        """Standardised values in own units."""
        return target.double() * self.info.scale + self.info.mean


_TASKS: Mapping[str, type[Task]] = {
    "binary": BinaryTask,
    "multiclass": MulticlassTask,
    "regression": RegressionTask,
}


def build_task(
    info: TargetInfo,
    *,
    metric: str | None = None,
    metrics: Mapping[str, Metric] = MappingProxyType({}),
) -> Task:
    """Make the task of a target.

    Args:
        info: the target.
        metric: name of the metric that is optimised, or `loss`; None takes accuracy or RMSE.
        metrics: the user's own metrics by name, evaluated beside those of the task.

    Raises:
        ConfigError: a metric that is unknown, named twice, or has no direction.
    """
    return _TASKS[info.task](info, metric=metric, metrics=metrics)
