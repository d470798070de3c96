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
    `probability` is that of the label; a regression as `{"value"}`.
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
        if not predictions.isfinite().all():
            raise ServeError(
                "a model predicts finite numbers",
                value=predictions[~predictions.isfinite()][0].item(),
                remedy="Mend the model, whose values overflow on this row, and train it again",
            )
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


def class_key(label: ClassLabel) -> str:
    """The key of a class in a JSON object, whose keys are strings."""
    return label if isinstance(label, str) else json.dumps(label)
