"""A task that rayml does not have: counts, whose model predicts the logarithm of their rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import poisson_nll_loss

from rayml.errors import DataError
from rayml.tasks.number_task import NumberTask
from rayml.tasks.task import Label, Measure, Observed, Schema
from rayml.types import ClassLabel, Direction, TargetInfo


def deviance(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean Poisson deviance."""
    truth = target.double()
    return 2 * (truth.xlogy(truth / prediction) - truth + prediction).mean(-1)


class CountTask(NumberTask):
    """A whole number from 0 on, as a Poisson process gives it."""

    name = "count"
    field = "count"
    takes = "whole numbers from 0 on"
    directions: ClassVar[Mapping[str, Direction]] = {"deviance": "minimize"}
    default_metric = "deviance"
    proper_metric = "deviance"

    @classmethod
    def own_metrics(cls) -> Mapping[str, Measure]:
        return {"deviance": deviance}

    @classmethod
    def fit(cls, name: str, observed: Observed, positive: ClassLabel | None) -> TargetInfo:
        if observed.minimum < 0:
            raise DataError(f"column {name!r} has negative counts", found=observed.minimum)
        return super().fit(name, observed, positive)

    def loss(
        self, outputs: Tensor, target: Tensor, label_smoothing: float | Tensor = 0.0
    ) -> Tensor:
        counts = self.truth(target).to(outputs.dtype)
        rates = outputs.squeeze(-1)
        return poisson_nll_loss(rates, counts.expand(rates.shape), reduction="none").mean(-1)

    def truth(self, target: Tensor) -> Tensor:
        # Standardised in float32, a count of 0 comes back a little below it.
        return super().truth(target).round()

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.squeeze(-1).double().exp()

    def pool(self, outputs: Tensor) -> Tensor:
        return outputs.logsumexp(0) - math.log(len(outputs))

    def label_schema(self) -> Schema:
        return {"type": "integer", "minimum": 0}

    def read_label(self, given: object) -> Label:
        if not isinstance(given, int) or given < 0:
            raise ValueError("labels are whole numbers from 0 on")
        return super().read_label(given)
