"""What boosted trees of all libraries have in common."""

from __future__ import annotations

import importlib.util
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from rayml.errors import ConfigError
from rayml.models.estimators.estimator import Estimator
from rayml.models.estimators.score_shares import score_shares
from rayml.models.trees.matrix import Missing, TreeColumns
from rayml.tasks.task import Task
from rayml.types import Features, FeatureShape

FEW_ROWS = 256
"""So many rows, or fewer, are predicted sooner by one thread than several are woken."""


class BoostedTrees(Estimator):
    """Trees that are grown one after the other, each of what the others leave.

    A round is as many trees of each output as move the outputs by about the targets' size: ten at
    a learning rate of .1, a hundred at .01. So after as many rounds, trials of different rates can
    be compared, and the pruner does not take a slow start for a bad one.

    Args:
        shape: of the features.
        outputs: of a row.
        own: arguments by the library's names; `learning_rate` is one.
        missing: how a missing number is seen, see `rayml.models.trees.matrix.TreeColumns`.
        trees_per_round: of each output; None derives it from the learning rate.

    Attributes:
        library: its name as people write it; in lower case that of its module and of the model.
        extra: of rayml, which brings the library.
        ranges: least and greatest value of arguments.

    Raises:
        ConfigError: the library is not installed, or an argument is out of its range.
    """

    batch_invariant = True
    reads = frozenset({"class_weights"})
    library: ClassVar[str]
    extra: ClassVar[str] = "trees"
    ranges: ClassVar[Mapping[str, tuple[float, float]]]

    def __init__(
        self,
        shape: FeatureShape,
        outputs: int,
        own: Mapping[str, Any],
        missing: Missing,
        trees_per_round: int | None,
    ) -> None:
        self._require_installed()
        self._require_ranges(own)
        self._own = dict(own)
        self._columns = TreeColumns(shape, missing)
        self._outputs = outputs
        self._trees_per_round = trees_per_round or max(1, round(1 / own["learning_rate"]))
        self._values = 0

    @property
    def parameters(self) -> int:
        """Splits and leaves of all trees."""
        return self._values

    def explain(
        self, rows: Features, baseline: Features, codes: npt.NDArray[Any], task: Task
    ) -> npt.NDArray[np.float64]:
        """Exact path-dependent Shapley values of the outputs, carried over to the score.

        The library's values (Lundberg et al. 2020) are those of the trees' outputs, such as
        log-odds, against the training rows. What a feature moves is the difference of its values
        for the row and for the baseline; `score_shares` scales it to probabilities or to the
        target's units.
        """
        moved = self._contributions(rows) - self._contributions(baseline)
        start, end = self.predict(baseline), self.predict(rows)
        return score_shares(moved[:, :, :-1], start, end, codes, task)

    @abstractmethod
    def _contributions(self, features: Features) -> npt.NDArray[np.float64]:
        """Shapley values, [rows, outputs, columns and the constant]."""

    def _require_installed(self) -> None:
        module = self.library.lower()
        if importlib.util.find_spec(module) is None:
            raise ConfigError(
                f"model={module} needs {self.library}, which is not installed",
                remedy=f"Install rayml with the extra `{self.extra}`:"
                f" pip install 'rayml[{self.extra}]'",
            )

    def _require_ranges(self, own: Mapping[str, Any]) -> None:
        for name, (least, most) in self.ranges.items():
            if not least <= own[name] <= most:
                raise ConfigError(
                    f"model.{name} is {own[name]}", remedy=f"Give a number in {least} to {most}"
                )
