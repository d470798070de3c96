"""Explanations that an estimator computes itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from rayml.errors import ExplainError
from rayml.models.estimators.estimator import Estimator
from rayml.models.estimators.members import EstimatorMember, locked
from rayml.models.explain.attribution import Attribution, Score
from rayml.models.explain.entrances import Vectors
from rayml.tasks.task import Task
from rayml.types import Features


class EstimatorExplained:
    """An estimator, explained by its own `explain`.

    Args:
        estimator: with its state.
        outputs: that it gives for a row.
    """

    def __init__(self, estimator: Estimator, outputs: int) -> None:
        self._estimator = estimator
        self._member = EstimatorMember(estimator, outputs)

    def outputs(self, rows: Vectors) -> Tensor:
        """See `Explained`."""
        return self._member.outputs(_features(rows))

    def attribute(
        self,
        task: Task,
        score: Score,
        rows: Vectors,
        baseline: Vectors,
        codes: Tensor,
        *,
        tolerance: float,
        unit: float,
        max_steps: int,  # noqa: ARG002 - it takes no steps
        proceed: Callable[[], None],
    ) -> Attribution:
        """See `Explained`.

        Raises:
            ExplainError: the estimator has no explanations, or gives some of a wrong shape.
        """
        proceed()
        codes = codes.cpu()
        end = score(self.outputs(rows), codes).double()
        start = score(self.outputs(baseline).expand(len(codes), -1), codes).double()
        shares: object = self._estimator.explain(
            _features(rows), _features(baseline), codes.numpy(), task
        )
        wanted = (len(codes), sum(part.shape[1] for part in rows))
        if not isinstance(shares, np.ndarray) or shares.shape != wanted:
            name, found = type(self._estimator).__name__, getattr(shares, "shape", None)
            raise ExplainError(
                f"{name}.explain returns shape {found}; these rows and features need {wanted}",
                remedy="Correct its explain(rows, baseline, codes, task)",
            )
        return Attribution(
            end,
            start,
            torch.from_numpy(np.asarray(shares, dtype=np.float64)),
            tolerance * (end - start).abs().clamp(min=unit),
            torch.zeros(len(codes), dtype=torch.int64),
        )


def _features(rows: Vectors) -> Features:
    numeric, categorical = rows
    return locked(Features(numeric.cpu().numpy(), categorical.cpu().numpy()))
