"""From predictions as tensors to answers as JSON gives them."""

from __future__ import annotations

import json
from typing import Any

import torch

from rayml.errors import ServeError
from rayml.types import ClassLabel, TargetInfo

Answer = dict[str, Any]


class Answers:
    """Makes answers for one target.

    A class is answered as `{"label", "probability", "probabilities": {class: p}}`, where
    `probability` is that of the label; a regression as `{"value"}`. An ensemble adds `spread`, the
    standard deviation over its members: of that probability, or of the value, in its units.
    """

    def __init__(self, target: TargetInfo) -> None:
        self._target = target
        self._keys = [class_key(label) for label in target.classes]

    def __call__(self, predictions: torch.Tensor) -> list[Answer]:
        """Make one answer a row.

        Args:
            predictions: as `Task.predict` gives them.

        Raises:
            ServeError: one is not finite, which JSON cannot say.
        """
        _require_finite(predictions)
        match self._target.task:
            case "regression":
                return [{"value": value} for value in predictions.tolist()]
            case "binary":
                positive = predictions.tolist()
                return [self._class(int(p >= 0.5), [1 - p, p]) for p in positive]
            case "multiclass":
                best = predictions.argmax(dim=1).tolist()
                return list(map(self._class, best, predictions.tolist()))

    def of_ensemble(self, predictions: torch.Tensor) -> list[Answer]:
        """Make one answer a row, with its spread.

        Args:
            predictions: of the members, members first.

        Raises:
            ServeError: one is not finite.
        """
        mean, spread = predictions.mean(0), predictions.std(0)
        if self._target.task == "multiclass":
            spread = spread.gather(1, mean.argmax(dim=1, keepdim=True)).squeeze(1)
        answers = self(mean)
        _require_finite(spread)
        for answer, each in zip(answers, spread.tolist(), strict=True):
            answer["spread"] = each
        return answers

    def _class(self, code: int, probabilities: list[float]) -> Answer:
        return {
            "label": self._target.classes[code],
            "probability": probabilities[code],
            "probabilities": dict(zip(self._keys, probabilities, strict=True)),
        }


def _require_finite(numbers: torch.Tensor) -> None:
    if not numbers.isfinite().all():
        raise ServeError(
            "a model predicts finite numbers",
            value=numbers[~numbers.isfinite()][0].item(),
            remedy="Mend the model, whose values overflow on this row, and train it again",
        )


def class_key(label: ClassLabel) -> str:
    """The key of a class in a JSON object, whose keys are strings."""
    return label if isinstance(label, str) else json.dumps(label)
