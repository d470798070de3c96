"""Linear models: fitted by scikit-learn, kept as plain weights, predicted by NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rayml.errors import ConfigError, TrainError
from rayml.models.estimators.estimator import Estimator, Files, Round
from rayml.models.estimators.score_shares import score_shares
from rayml.models.modules.arrays import as_tensor
from rayml.settings.train import TrainSettings
from rayml.tasks.task import Task
from rayml.types import Examples, Features, FeatureShape

Floats = npt.NDArray[np.float64]

FILE = "linear.safetensors"


class LinearModel(Estimator):
    """Logistic regression for classes and ridge regression for numbers, in one round.

    Each number has a weight for each output, and so has each code of a category. A code that no
    training row has, as that of unknown categories mostly, has the weight 0.

    Args:
        shape: of the features.
        outputs: of a row.
        penalty: L2 penalty of the weights, on the scale of the sum of the rows' losses:
            `alpha` of scikit-learn's `Ridge`, `1 / C` of its `LogisticRegression`.
        max_iter: steps of the solver at most.

    Raises:
        ConfigError: an argument is not above 0.
    """

    packages = ("scikit-learn",)
    reads = frozenset({"class_weights"})

    def __init__(
        self, shape: FeatureShape, outputs: int, *, penalty: float = 1.0, max_iter: int = 1000
    ) -> None:
        for name, value in (("penalty", penalty), ("max_iter", max_iter)):
            if not value > 0:
                raise ConfigError(f"model.{name} is {value}", remedy="Give a number above 0")
        self._numbers = shape.numeric
        self._sizes = np.array(shape.cardinalities, np.int64)
        # Of the weights of a column's codes, behind those of the numbers.
        self._places = shape.numeric + np.cumsum(self._sizes) - self._sizes
        self._penalty = penalty
        self._max_iter = max_iter
        self._weights: Floats = np.zeros((shape.numeric + int(self._sizes.sum()), outputs))
        self._bias: Floats = np.zeros(outputs)

    def fit(
        self,
        train: Examples,
        validation: Examples,  # noqa: ARG002 - nothing is chosen
        *,
        task: Task,
        settings: TrainSettings,  # noqa: ARG002 - the optimum follows from the rows alone
    ) -> Iterator[Round]:
        """See `Estimator`.

        Raises:
            ConfigError: the task has a loss of its own.
            TrainError: a class has no training row.
        """
        if task.likelihood is None:
            raise ConfigError(
                f"a linear model cannot learn the task {task.name!r}",
                remedy="Set data.task to binary, multiclass or regression, or choose another model",
            )
        rows = self._matrix(train.features)
        if task.has_classes:
            self._fit_classes(rows, train.target, task)
        else:
            self._fit_numbers(rows, train.target)
        outputs = torch.from_numpy(self.predict(train.features))
        loss = float(task.training_loss(outputs, as_tensor(train.target)))
        yield Round(loss, last=True)

    def predict(self, features: Features) -> Floats:
        """See `Estimator`."""
        outputs = features.numeric.astype(np.float64) @ self._weights[: self._numbers]
        for column, place in enumerate(self._places.tolist()):
            outputs += self._weights[place + features.categorical[:, column]]
        found: Floats = outputs + self._bias
        return found

    def save(self) -> Files:
        """The weights and constants as safetensors."""
        from safetensors.numpy import save

        return {FILE: save({"weights": self._weights, "bias": self._bias})}

    def load(self, files: Files) -> None:
        """See `Estimator`."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        if list(files) != [FILE]:
            raise ValueError(f"the files are {sorted(files)[:5]}, and a linear model has {FILE}")
        try:
            found = load(files[FILE])
        except SafetensorError as error:
            raise ValueError(f"{FILE} is torn ({error})") from error
        wanted = {"weights": self._weights, "bias": self._bias}
        if found.keys() != wanted.keys() or any(
            found[name].shape != own.shape or found[name].dtype != own.dtype
            for name, own in wanted.items()
        ):
            raise ValueError(f"the weights of {FILE} are not of this model's shapes")
        if not all(np.isfinite(each).all() for each in found.values()):
            raise ValueError(f"the weights of {FILE} are not finite")
        self._weights, self._bias = found["weights"], found["bias"]

    @property
    def parameters(self) -> int:
        """Weights and constants."""
        return self._weights.size + self._bias.size

    def explain(
        self, rows: Features, baseline: Features, codes: npt.NDArray[Any], task: Task
    ) -> Floats:
        """Exact for the outputs, which are sums; see `score_shares` for the score.

        What a feature moves is its weight times the difference of its values, or the difference
        of the weights of two codes.
        """
        differences = (rows.numeric - baseline.numeric).astype(np.float64)
        moved = [differences[:, None, :] * self._weights[: self._numbers].T]
        for column, place in enumerate(self._places.tolist()):
            here, there = (
                self._weights[place + each.categorical[:, column]] for each in (rows, baseline)
            )
            moved.append((here - there)[:, :, None])
        start, end = self.predict(baseline), self.predict(rows)
        return score_shares(np.concatenate(moved, axis=2), start, end, codes, task)

    def _matrix(self, features: Features) -> Any:
        """Numbers, and a column of zeros and ones for each code, sparse where there are codes."""
        numeric = features.numeric.astype(np.float64)
        if not len(self._places):
            return numeric
        from scipy import sparse

        rows, columns = features.categorical.shape
        ones = sparse.csr_array(
            (
                np.ones(rows * columns),
                (features.categorical + self._places - self._numbers).ravel(),
                np.arange(0, rows * columns + 1, columns),
            ),
            shape=(rows, int(self._sizes.sum())),
        )
        return sparse.hstack([sparse.csr_array(numeric), ones], format="csr")

    def _fit_classes(self, rows: Any, target: npt.NDArray[Any], task: Task) -> None:
        from sklearn.linear_model import LogisticRegression

        outputs = len(self._bias)
        found = np.unique(target)
        if len(found) != max(outputs, 2):
            raise TrainError(
                f"{max(outputs, 2) - len(found)} of the classes have no training row",
                remedy="Split the data by class, or leave the rare classes out",
            )
        model = LogisticRegression(C=1 / self._penalty, max_iter=self._max_iter, tol=1e-6)
        model.fit(rows, target, sample_weight=task.row_weights(target))
        weights, bias = model.coef_, model.intercept_
        if len(weights) < outputs:  # two classes as two outputs, of which the first stays 0
            weights, bias = (np.concatenate([0 * each, each]) for each in (weights, bias))
        if task.weight_shift is not None:  # as of rows that count alike
            bias = bias - task.weight_shift
        self._weights, self._bias = np.ascontiguousarray(weights.T), bias

    def _fit_numbers(self, rows: Any, target: npt.NDArray[Any]) -> None:
        from sklearn.linear_model import Ridge

        model = Ridge(alpha=self._penalty, max_iter=self._max_iter, tol=1e-8)
        model.fit(rows, target.astype(np.float64))
        self._weights = np.ascontiguousarray(model.coef_.reshape(-1, 1), np.float64)
        self._bias = np.array([float(np.squeeze(model.intercept_))])
