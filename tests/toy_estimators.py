"""Estimators without PyTorch, for tests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rayml.models.estimators.estimator import Estimator, Round
from rayml.settings.train import TrainSettings
from rayml.tasks.task import Task
from rayml.types import Examples, Features, FeatureShape

Matrix = npt.NDArray[np.float64]


def matrix(shape: FeatureShape, features: Features) -> Matrix:
    """Numbers, and a column for each code."""
    ones = [
        np.eye(size)[features.categorical[:, place]]
        for place, size in enumerate(shape.cardinalities)
    ]
    return np.concatenate([features.numeric.astype(np.float64), *ones], axis=1)


def encoded(task: Task, examples: Examples) -> Matrix:
    """Targets as [rows, outputs]."""
    if task.outputs == 1:
        return examples.target.astype(np.float64)[:, None]
    return np.eye(task.outputs)[examples.target]


class Slopes(Estimator):
    """Least squares by gradient descent, a step a round; it resumes and explains itself."""

    resumes = True

    def __init__(self, shape: FeatureShape, outputs: int, *, rate: float = 0.1) -> None:
        self.shape = shape
        self.rate = rate
        width = shape.numeric + sum(shape.cardinalities)
        self.weights = np.random.normal(0, 0.1, (width, outputs))

    def fit(
        self, train: Examples, validation: Examples, *, task: Task, settings: TrainSettings
    ) -> Iterator[Round]:
        x, y = matrix(self.shape, train.features), encoded(task, train)
        while True:
            error = x @ self.weights - y
            self.weights = self.weights - self.rate * x.T @ error / len(y)
            yield Round(float((error**2).mean()))

    def predict(self, features: Features) -> Matrix:
        # Row by row, so that the bits of a row are the same in every batch.
        found: Matrix = (matrix(self.shape, features)[:, :, None] * self.weights).sum(1)
        return found

    def save(self) -> dict[str, bytes]:
        return {"slopes.json": json.dumps(self.weights.tolist()).encode()}

    def load(self, files: Mapping[str, bytes]) -> None:
        self.weights = np.array(json.loads(files["slopes.json"]))

    @property
    def parameters(self) -> int:
        return int(self.weights.size)

    def explain(
        self, rows: Features, baseline: Features, codes: npt.NDArray[Any], task: Task
    ) -> Matrix:
        """Exact for a regression, whose score is linear in the features."""
        terms = (matrix(self.shape, rows) - matrix(self.shape, baseline)) * self.weights[:, 0]
        ends = np.cumsum(self.shape.cardinalities)[:-1]
        codes_ = np.split(terms[:, self.shape.numeric :], ends, axis=1)
        parts = [each.sum(1, keepdims=True) for each in codes_ if self.shape.cardinalities]
        return np.concatenate([terms[:, : self.shape.numeric], *parts], 1) * task.info.scale


class Centroids(Estimator):
    """The nearest centroid, in one round; a row's outputs are its own."""

    batch_invariant = True

    def __init__(self, shape: FeatureShape, outputs: int, *, shrink: float = 0.0) -> None:
        self.shape = shape
        self.outputs = outputs
        self.shrink = shrink
        self.centres = np.zeros((0, 0))

    def fit(
        self, train: Examples, validation: Examples, *, task: Task, settings: TrainSettings
    ) -> Iterator[Round]:
        x = matrix(self.shape, train.features)
        classes = max(2, self.outputs)
        self.centres = np.stack(
            [(1 - self.shrink) * x[train.target == code].mean(0) for code in range(classes)]
        )
        outputs = self.predict(train.features)
        chosen = outputs.argmax(1) if self.outputs > 1 else outputs[:, 0] > 0
        yield Round(float((chosen != train.target).mean()), last=True)

    def predict(self, features: Features) -> Matrix:
        x = matrix(self.shape, features)
        # Column by column, since the bits of a sum along an axis depend on the array's shape.
        distances: Matrix = np.zeros((len(x), len(self.centres)))
        for column, centre in zip(x.T, self.centres.T, strict=True):
            distances += (column[:, None] - centre) ** 2
        return -distances if self.outputs > 1 else distances[:, :1] - distances[:, 1:]

    def save(self) -> dict[str, bytes]:
        return {"centroids.json": json.dumps(self.centres.tolist()).encode()}

    def load(self, files: Mapping[str, bytes]) -> None:
        self.centres = np.array(json.loads(files["centroids.json"]))

    @property
    def parameters(self) -> int:
        return int(self.centres.size)
