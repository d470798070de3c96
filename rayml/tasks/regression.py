"""Regression: a number, as close as possible in squares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from rayml.tasks.number_task import NumberTask
from rayml.tasks.task import Measure
from rayml.types import Direction

if TYPE_CHECKING:
    from torch import Tensor


class RegressionTask(NumberTask):
    """A number: one output, the standardised value."""

    name = "regression"
    likelihood = "gaussian"
    directions: ClassVar[Mapping[str, Direction]] = {
        "rmse": "minimize",
        "mae": "minimize",
        "r2": "maximize",
    }
    default_metric = "rmse"
    proper_metric = "rmse"

    @classmethod
    def own_metrics(cls) -> Mapping[str, Measure]:
        """Errors of values."""
        from rayml.tasks.metrics import REGRESSION

        return REGRESSION

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
