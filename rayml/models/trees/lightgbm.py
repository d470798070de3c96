"""Gradient boosted trees of LightGBM."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rayml.models.estimators.estimator import Files, Round
from rayml.models.trees.boosted import FEW_ROWS, BoostedTrees
from rayml.models.trees.booster_text import (
    Expected,
    count_values,
    require_booster,
    without_settings,
)
from rayml.models.trees.matrix import Matrix, Missing
from rayml.models.trees.objective import objective_of, objective_texts
from rayml.settings.train import TrainSettings
from rayml.tasks.task import Task
from rayml.types import Examples, Features, FeatureShape

FILE = "trees.txt"
# What each argument may be, least and most.
_RANGES: Mapping[str, tuple[float, float]] = {
    "num_leaves": (2, 4096),
    "max_depth": (-1, 4096),
    "min_data_in_leaf": (1, 10**9),
    "min_sum_hessian_in_leaf": (0, 1e9),
    "learning_rate": (1e-4, 1),
    "feature_fraction": (1e-3, 1),
    "bagging_fraction": (1e-3, 1),
    "lambda_l1": (0, 1e9),
    "lambda_l2": (0, 1e9),
    "min_gain_to_split": (0, 1e9),
    "path_smooth": (0, 1e9),
    "max_bin": (2, 65_535),
    "cat_smooth": (0, 1e9),
    "cat_l2": (0, 1e9),
    "max_cat_to_onehot": (1, 1000),
    "min_data_per_group": (1, 10**9),
}


class LightGBM(BoostedTrees):
    """Gradient boosted trees (Ke et al. 2017), as LightGBM grows them.

    Arguments have LightGBM's own names and meanings. Codes are categories to it; the code of
    unknown ones is a category too, which in a split goes with those that the split does not name.

    A task of one's own is learned by the derivatives of its loss.

    Args:
        shape: of the features.
        outputs: of a row.
        num_leaves: of a tree at most.
        max_depth: of a tree at most; -1 sets no bound.
        min_data_in_leaf: training rows of a leaf at least.
        min_sum_hessian_in_leaf: sum of the loss's curvature in a leaf at least.
        learning_rate: share of each tree's values that is added.
        feature_fraction: share of the columns that each tree may use.
        bagging_fraction: share of the training rows that each tree is grown on.
        lambda_l1: L1 penalty of leaf values.
        lambda_l2: L2 penalty of leaf values.
        min_gain_to_split: gain of a split at least.
        path_smooth: pulls leaf values towards those of the nodes above them.
        extra_trees: each column is tried at one threshold drawn at random.
        max_bin: intervals that a column's values are sorted into, at most.
        cat_smooth: damps the statistics of rare categories.
        cat_l2: L2 penalty of splits by categories, besides `lambda_l2`.
        max_cat_to_onehot: columns of so many categories split off one at a time.
        min_data_per_group: training rows of a category that takes part in a split, at least.
        trees_per_round: of each output; None derives it from the learning rate.
        missing: how a missing number is seen: `native` leaves it missing, so that each split
            learns the side for it; `filled` takes what stands in its place, with the column that
            says so. The default is what bundles mean that do not name it.

    Raises:
        ConfigError: LightGBM is not installed, or an argument is out of its range.
    """

    library = "LightGBM"
    packages = ("lightgbm",)
    ranges = _RANGES

    def __init__(
        self,
        shape: FeatureShape,
        outputs: int,
        *,
        num_leaves: int = 31,
        max_depth: int = -1,
        min_data_in_leaf: int = 20,
        min_sum_hessian_in_leaf: float = 1e-3,
        learning_rate: float = 0.05,
        feature_fraction: float = 1.0,
        bagging_fraction: float = 1.0,
        lambda_l1: float = 0.0,
        lambda_l2: float = 0.0,
        min_gain_to_split: float = 0.0,
        path_smooth: float = 0.0,
        extra_trees: bool = False,
        max_bin: int = 255,
        cat_smooth: float = 10.0,
        cat_l2: float = 10.0,
        max_cat_to_onehot: int = 4,
        min_data_per_group: int = 100,
        trees_per_round: int | None = None,
        missing: Missing = "filled",
    ) -> None:
        own = {
            "num_leaves": num_leaves,
            "max_depth": max_depth,
            "min_data_in_leaf": min_data_in_leaf,
            "min_sum_hessian_in_leaf": min_sum_hessian_in_leaf,
            "learning_rate": learning_rate,
            "feature_fraction": feature_fraction,
            "bagging_fraction": bagging_fraction,
            "lambda_l1": lambda_l1,
            "lambda_l2": lambda_l2,
            "min_gain_to_split": min_gain_to_split,
            "path_smooth": path_smooth,
            "extra_trees": extra_trees,
            "max_bin": max_bin,
            "cat_smooth": cat_smooth,
            "cat_l2": cat_l2,
            "max_cat_to_onehot": max_cat_to_onehot,
            "min_data_per_group": min_data_per_group,
        }
        super().__init__(shape, outputs, own, missing, trees_per_round)
        self._booster: Any = None
        self._text: str | None = None

    def fit(
        self, train: Examples, validation: Examples, *, task: Task, settings: TrainSettings
    ) -> Iterator[Round]:
        """See `Estimator`; ends where no further split gains anything."""
        import lightgbm

        objective = objective_of(task)
        parameters = {**self._parameters(settings), **objective.parameters}
        data = lightgbm.Dataset(
            self._columns.matrix(train.features),
            train.target,
            weight=task.row_weights(train.target),
            categorical_feature=self._columns.codes,
            params=parameters,
        )
        self._booster = booster = lightgbm.Booster(parameters, data)
        self._text, self._values = None, 0
        held_out = self._columns.matrix(validation.features)
        outputs = np.zeros((len(held_out), self._outputs))
        grows = True
        while grows:
            first = booster.current_iteration()
            for _ in range(self._trees_per_round):
                grows = not booster.update(fobj=objective.own)
                if not grows:
                    break
            if not first and task.weight_shift is not None:
                _shift(booster, -task.weight_shift)
            if trees := booster.current_iteration() - first:
                outputs += self._raw(held_out, settings.threads, first, trees)
                self._values += count_values(booster.model_to_string(trees, first))
            loss = objective.own.last if objective.own else booster.eval_train()[0][2]
            yield Round(float(loss), outputs.copy(), max(1, trees * self._outputs), not grows)

    def predict(self, features: Features) -> npt.NDArray[np.float64]:
        """See `Estimator`."""
        few = len(features) <= FEW_ROWS
        matrix = self._columns.matrix(features)
        return self._raw(matrix, 1 if few else torch.get_num_threads())

    def save(self) -> Files:
        """The trees, as text that LightGBM's own `Booster(model_file=…)` reads too."""
        text = (
            without_settings(self._booster.model_to_string()) if self._text is None else self._text
        )
        return {FILE: text.encode()}

    def load(self, files: Files) -> None:
        """See `Estimator`."""
        import lightgbm

        if list(files) != [FILE]:
            raise ValueError(f"the files are {sorted(files)[:5]}, and LightGBM has {FILE}")
        expected = Expected(
            self._columns.width,
            self._outputs,
            int(self._own["num_leaves"]),
            objective_texts(self._outputs),
        )
        text = require_booster(files[FILE], expected)
        self._booster = lightgbm.Booster(model_str=text)
        self._text, self._values = text, count_values(text)

    def keep(self) -> Callable[[], Files]:
        """See `Estimator`; the trees so far stay as they are, so that their number tells them."""
        booster, trees = self._booster, self._booster.current_iteration()
        return lambda: {FILE: without_settings(booster.model_to_string(trees)).encode()}

    def _contributions(self, features: Features) -> npt.NDArray[np.float64]:
        """See `BoostedTrees`."""
        matrix = self._columns.matrix(features)
        found = self._booster.predict(matrix, pred_contrib=True, num_threads=1)
        return np.asarray(found).reshape(len(features), self._outputs, self._columns.width + 1)

    def _raw(
        self, rows: Matrix, threads: int, first: int = 0, trees: int = -1
    ) -> npt.NDArray[np.float64]:
        found = self._booster.predict(
            rows, raw_score=True, start_iteration=first, num_iteration=trees, num_threads=threads
        )
        return np.asarray(found, np.float64).reshape(len(rows), self._outputs)

    def _parameters(self, settings: TrainSettings) -> dict[str, Any]:
        return {
            **self._own,
            "bagging_freq": 1 if float(self._own["bagging_fraction"]) < 1 else 0,
            "seed": settings.seed,
            "num_threads": settings.threads,
            # Else it measures which way is faster, and the last digits follow the measurement.
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }


def _shift(booster: Any, by: npt.NDArray[np.float64]) -> None:
    """Add constants to the outputs, by way of the first trees; training goes on unshifted."""
    for tree, added in zip(booster.dump_model(num_iteration=1)["tree_info"], by, strict=True):
        place = int(tree["tree_index"])
        for leaf in range(int(tree["num_leaves"])):
            value = booster.get_leaf_output(place, leaf) + added
            booster.set_leaf_output(place, leaf, value)
