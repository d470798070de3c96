"""Turns predictions (tensors) into answers (values of JSON)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from rayml.data.fit.oddities import Odd
from rayml.errors import ServeError
from rayml.types import ClassLabel, TargetInfo, TaskName

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Predictions of some rows, on the CPU.

    Attributes:
        prediction: the result of `Task.predict`; of an ensemble the mean over its members.
        spread: of an ensemble, shape [rows]: the standard deviation over its members of the
            probability of the likeliest class, or of the value; else None.
        odd: values that are unlike those of training, by row; None where there is none, or where
            they are not looked for.
    """

    prediction: torch.Tensor
    spread: torch.Tensor | None = None
    odd: Mapping[int, Odd] | None = None

    def with_odd(self, odd: Mapping[int, Odd] | None) -> Estimate:
        """The same estimate with odd values."""
        return replace(self, odd=odd) if odd else self

    def rows(self, start: int, end: int) -> Estimate:
        """The estimate of some of the rows, without odd values."""
        spread = None if self.spread is None else self.spread[start:end]
        return Estimate(self.prediction[start:end], spread)


class Answers:
    """Makes answers for one target.

    A class is answered as `{"label", "probability", "probabilities": {class: p}}`, where
    `probability` is that of the label; a regression as `{"value"}`. An ensemble adds `spread`, the
    standard deviation over its members: of that probability, or of the value, in its units. A row
    with values unlike those of training has `warnings` besides: by column what is odd.
    """

    def __init__(self, target: TargetInfo) -> None:
        self._target = target
        self._keys = [class_key(label) for label in target.classes]

    def __call__(self, estimate: Estimate) -> list[Answer]:
        """Make one answer a row.

        Raises:
            ServeError: a prediction is not finite; JSON has no such number.
        """
        require_finite(estimate.prediction)
        answers = self._answers(estimate.prediction)
        if estimate.spread is not None:
            require_finite(estimate.spread)
            for answer, each in zip(answers, estimate.spread.tolist(), strict=True):
                answer["spread"] = each
        for row, odd in (estimate.odd or {}).items():
            answers[row]["warnings"] = odd
        return answers

    def _answers(self, predictions: torch.Tensor) -> list[Answer]:
        match self._target.task:
            case "regression":
                return [{"value": value} for value in predictions.tolist()]
            case "binary":
                positive = predictions.tolist()
                return [self._class(int(p >= 0.5), [1 - p, p]) for p in positive]
            case "multiclass":
                best = predictions.argmax(dim=1).tolist()
                return list(map(self._class, best, predictions.tolist()))

    def _class(self, code: int, probabilities: list[float]) -> Answer:
        return {
            "label": self._target.classes[code],
            "probability": probabilities[code],
            "probabilities": dict(zip(self._keys, probabilities, strict=True)),
        }


def of_members(predictions: torch.Tensor, task: TaskName) -> Estimate:
    """The mean and spread of an ensemble.

    Args:
        predictions: predictions with a first dimension of members.
        task: kind of the target.
    """
    mean, spread = predictions.mean(0), predictions.std(0)
    if task == "multiclass":
        spread = spread.gather(1, mean.argmax(dim=1, keepdim=True)).squeeze(1)
    return Estimate(mean, spread)


def require_finite(numbers: torch.Tensor) -> None:
    """Check that all predictions are finite.

    Raises:
        ServeError: a prediction is infinite or NaN.
    """
    # A finite sum has finite terms only; an infinite sum may be an overflow of finite terms.
    if not math.isfinite(numbers.sum().item()) and not numbers.isfinite().all():
        raise ServeError(
            "the model's prediction for a row is no finite number",
            found=numbers[~numbers.isfinite()][0].item(),
            remedy="Its values overflow on this row: mend the model and train it again",
        )


def class_key(label: ClassLabel) -> str:
    """The key of a class in a JSON object, whose keys are strings."""
    return label if isinstance(label, str) else json.dumps(label)
