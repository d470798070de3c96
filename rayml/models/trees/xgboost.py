"""Gradient boosted trees of XGBoost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from rayml.errors import ConfigError
from rayml.models.estimators.estimator import Files, Round
from rayml.models.modules.arrays import as_tensor
from rayml.models.trees.boosted import FEW_ROWS, BoostedTrees
from rayml.models.trees.matrix import Missing
from rayml.models.trees.objective import xgboost_objective_of
from rayml.models.trees.xgboost_text import Expected, count_values, require_booster
from rayml.settings.train import TrainSettings
from rayml.tasks.task import Task
from rayml.types import Examples, Features, FeatureShape

FILE = "trees.json"
GrowPolicy = Literal["depthwise", "lossguide"]
# What each argument may be, least and most.
_RANGES: Mapping[str, tuple[float, float]] = {
    "learning_rate": (1e-4, 1),
    "max_depth": (1, 20),
    "max_leaves": (0, 4096),
    "min_child_weight": (0, 1e9),
    "gamma": (0, 1e9),
    "max_delta_step": (0, 1e9),
    "subsample": (1e-3, 1),
    "colsample_bytree": (1e-3, 1),
    "colsample_bynode": (1e-3, 1),
    "reg_alpha": (0, 1e9),
    "reg_lambda": (0, 1e9),
    "max_bin": (2, 65_535),
    "max_cat_to_onehot": (1, 1000),
    "max_cat_threshold": (1, 1000),
}


class XGBoost(BoostedTrees):
    """Gradient boosted trees (Chen & Guestrin 2016), as XGBoost grows them by histograms.

    Arguments have XGBoost's own names and meanings. Codes are categories to it. A task of one's own
    is learned by the derivatives of its loss.

    Args:
        shape: of the features.
        outputs: of a row.
        learning_rate: share of each tree's values that is added.
        max_depth: of a tree at most.
        max_leaves: of a tree at most; 0 sets no bound.
        grow_policy: `depthwise` splits level by level, `lossguide` where the loss falls most.
        min_child_weight: sum of the loss's curvature in a node at least.
        gamma: gain of a split at least.
        max_delta_step: a leaf's value at most, before the learning rate; 0 sets no bound.
        subsample: share of the training rows that each tree is grown on.
        colsample_bytree: share of the columns that each tree may use.
        colsample_bynode: share of these that each split may use.
        reg_alpha: L1 penalty of leaf values.
        reg_lambda: L2 penalty of leaf values.
        max_bin: intervals that a column's values are sorted into, at most.
        max_cat_to_onehot: columns of fewer categories split off one at a time.
        max_cat_threshold: categories that a split may name, at most.
        trees_per_round: of each output; None derives it from the learning rate.
        missing: `native` leaves a missing number missing, so that each split learns the side for
            it; `filled` takes what stands in its place, with the column that says so.

    Raises:
        ConfigError: XGBoost is not installed, or an argument is out of its range.
    """

    library = "XGBoost"
    extra = "xgboost"
    packages = ("xgboost", "xgboost-cpu")  # two distributions of one library
    ranges = _RANGES

    def __init__(
        self,
        shape: FeatureShape,
        outputs: int,
        *,
        learning_rate: float = 0.05,
        max_depth: int = 6,
        max_leaves: int = 0,
        grow_policy: GrowPolicy = "depthwise",
        min_child_weight: float = 1.0,
        gamma: float = 0.0,
        max_delta_step: float = 0.0,
        subsample: float = 1.0,
        colsample_bytree: float = 1.0,
        colsample_bynode: float = 1.0,
        reg_alpha: float = 0.0,
        reg_lambda: float = 1.0,
        max_bin: int = 256,
        max_cat_to_onehot: int = 4,
        max_cat_threshold: int = 64,
        trees_per_round: int | None = None,
        missing: Missing = "native",
    ) -> None:
        own = {
            "learning_rate": learning_rate,
            "max_depth": max_depth,
            "max_leaves": max_leaves,
            "grow_policy": grow_policy,
            "min_child_weight": min_child_weight,
            "gamma": gamma,
            "max_delta_step": max_delta_step,
            "subsample": subsample,
            "colsample_bytree": colsample_bytree,
            "colsample_bynode": colsample_bynode,
            "reg_alpha": reg_alpha,
            "reg_lambda": reg_lambda,
            "max_bin": max_bin,
            "max_cat_to_onehot": max_cat_to_onehot,
            "max_cat_threshold": max_cat_threshold,
        }
        super().__init__(shape, outputs, own, missing, trees_per_round)
        if grow_policy not in get_args(GrowPolicy):
            raise ConfigError(
                "model.grow_policy is no known way to grow trees",
                found=grow_policy,
                remedy=f"Take one of {', '.join(get_args(GrowPolicy))}",
            )
        nodes = 2 ** (max_depth + 1) - 1
        self._expected = Expected(
            shape.numeric,
            shape.cardinalities,
            outputs,
            min(nodes, 2 * max_leaves - 1) if max_leaves else nodes,
        )
        self._types = ["q"] * shape.numeric + ["c"] * len(shape.cardinalities)
        self._booster: Any = None
        self._content: bytes | None = None
        self._readers: dict[int, Any] = {}

    def fit(
        self, train: Examples, validation: Examples, *, task: Task, settings: TrainSettings
    ) -> Iterator[Round]:
        """See `Estimator`; ends where no further split gains anything."""
        import xgboost

        objective = xgboost_objective_of(task)
        matrix = self._columns.matrix(train.features)
        shown: dict[str, Any] = {**self._kinds, "nthread": settings.threads}
        start, weighed = _weighed(task, train.target)
        data = xgboost.QuantileDMatrix(
            matrix, train.target, max_bin=self._own["max_bin"], **weighed, **shown
        )
        held_out = xgboost.DMatrix(self._columns.matrix(validation.features), **shown)
        parameters = {**self._parameters(settings), **objective.parameters, **start}
        self._booster = booster = xgboost.Booster(parameters, [data, held_out])
        self._content, self._values = None, 0
        target = as_tensor(train.target)
        shift = np.float32(0) if task.weight_shift is None else np.float32(task.weight_shift)
        grows = True
        while grows:
            first = booster.num_boosted_rounds()
            for number in range(first, first + self._trees_per_round):
                if objective.own is None:
                    booster.update(data, number)
                else:
                    scores = self._scores(booster, data)
                    gradient, curvature = objective.own(scores, data)
                    booster.boost(data, number, grad=gradient, hess=curvature)
            added = count_values(_text(booster[first:]))
            self._values += added
            trees = self._trees_per_round * self._outputs
            grows = added > trees  # else each of them is a single leaf
            with torch.inference_mode():
                outputs = torch.from_numpy(self._scores(booster, data) - shift)
                loss = float(task.training_loss(outputs, target))
            yield Round(loss, self._scores(booster, held_out), trees, not grows)

    def predict(self, features: Features) -> npt.NDArray[np.float64]:
        """See `Estimator`."""
        matrix = self._columns.matrix(features)
        found = self._reader(len(matrix)).inplace_predict(
            matrix, predict_type="margin", validate_features=False
        )
        return np.asarray(found, np.float64).reshape(len(matrix), self._outputs)

    def save(self) -> Files:
        """The trees, as JSON that XGBoost's own `Booster(model_file=…)` reads too."""
        return {FILE: _text(self._booster) if self._content is None else self._content}

    def load(self, files: Files) -> None:
        """See `Estimator`."""
        if list(files) != [FILE]:
            raise ValueError(f"the files are {sorted(files)[:5]}, and XGBoost has {FILE}")
        content = files[FILE]
        require_booster(content, self._expected)
        self._booster = _read(content, 1)
        self._content, self._values = content, count_values(content)
        self._readers = {1: self._booster}

    def keep(self) -> Callable[[], Files]:
        """See `Estimator`; the trees so far stay as they are, so that their number tells them."""
        booster, rounds = self._booster, self._booster.num_boosted_rounds()
        return lambda: {FILE: _text(booster[:rounds])}

    def _contributions(self, features: Features) -> npt.NDArray[np.float64]:
        """See `BoostedTrees`."""
        import xgboost

        rows = xgboost.DMatrix(self._columns.matrix(features), nthread=1, **self._kinds)
        found = self._reader(1).predict(rows, pred_contribs=True, strict_shape=True)
        return np.asarray(found, np.float64)

    def _reader(self, rows: int) -> Any:
        """The booster that predicts so many rows: by one thread, or by all for many.

        Their number is set in a booster, which other threads may use at the same time.
        """
        if self._content is None:  # it is in training
            return self._booster
        threads = 1 if rows <= FEW_ROWS else torch.get_num_threads()
        if threads not in self._readers:
            self._readers[threads] = _read(self._content, threads)
        return self._readers[threads]

    def _scores(self, booster: Any, rows: Any) -> npt.NDArray[np.float32]:
        """Outputs of rows that the booster knows: it adds those of the latest trees alone."""
        found = np.asarray(booster.predict(rows, output_margin=True), np.float32)
        return found.reshape(-1, self._outputs)

    @property
    def _kinds(self) -> dict[str, Any]:
        return {"feature_types": self._types, "enable_categorical": True}

    def _parameters(self, settings: TrainSettings) -> dict[str, Any]:
        return {
            **self._own,
            "tree_method": "hist",
            "device": "cpu",
            "seed": settings.seed,
            # Boosters of one process share the generator, and folds take turns.
            "seed_per_iteration": True,
            "nthread": settings.threads,
            "verbosity": 0,
        }


def _weighed(
    task: Task, target: npt.NDArray[Any]
) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.float64]]]:
    """Parameters and data of rows that count by their classes; nothing where all count alike.

    Trees begin with the shares of the classes. The scores of training rows alone are shifted by the
    logarithms of the weights, so that what is learned are the scores of rows that count alike.
    """
    weights, shift = task.row_weights(target), task.weight_shift
    if weights is None or shift is None:
        return {}, {}
    counts = np.bincount(target, minlength=len(task.info.classes))
    logs = np.log(np.maximum(counts, 1) / len(target))
    start = logs[1:] - logs[0] if task.outputs == 1 else logs
    base = 1 / (1 + np.exp(-start)) if task.outputs == 1 else start
    margin = np.tile(start + shift, (len(target), 1))
    return {"base_score": base.tolist()}, {"weight": weights, "base_margin": margin}


def _text(booster: Any) -> bytes:
    return bytes(booster.save_raw("json"))


def _read(content: bytes, threads: int) -> Any:
    """A booster of a text that was checked."""
    import xgboost

    try:
        booster = xgboost.Booster({"nthread": threads, "verbosity": 0})
        booster.load_model(bytearray(content))
        # Loading takes the number of the machine's cores.
        booster.set_param({"nthread": threads})
    except xgboost.core.XGBoostError as error:
        raise ValueError(f"XGBoost does not take the trees ({error})") from error
    return booster
