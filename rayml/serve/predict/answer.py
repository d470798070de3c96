"""Turns predictions (tensors) into answers (values of JSON)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from rayml.data.fit.oddities import Odd
from rayml.errors import ServeError
from rayml.registry.bundle.intervals import GroupValue
from rayml.tasks.task import Answer, Task

GROUP = "group"
"""Name of the key, column or tensor with the group whose rows calibrated a region."""


@dataclass(frozen=True, slots=True)
class RegionGroups:
    """How rows are grouped for regions.

    Attributes:
        grouped: whether they are.
        values: of the groups that have scores of their own.
    """

    grouped: bool = False
    values: tuple[GroupValue, ...] = ()


@dataclass(frozen=True, slots=True)
class Region:
    """Regions around the predictions of some rows.

    Attributes:
        values: as of `Task.regions`.
        groups: places of the groups whose rows calibrated them, -1 where all rows did; None where
            rows are not grouped.
    """

    values: npt.NDArray[np.generic]
    groups: npt.NDArray[np.int64] | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """Predictions of some rows, on the CPU.

    Attributes:
        prediction: the result of `Task.predict`; of an ensemble the mean over its members.
        spread: of an ensemble, shape [rows]: the standard deviation over its members of the
            probability of the answered class, or of the value; else None.
        odd: values that are unlike those of training, by row; None where there is none, or where
            they are not looked for.
        region: that holds the truth with a given probability; None where none is asked for.
    """

    prediction: torch.Tensor
    spread: torch.Tensor | None = None
    odd: Mapping[int, Odd] | None = None
    region: Region | None = None

    def with_odd(self, odd: Mapping[int, Odd] | None) -> Estimate:
        """The same estimate with odd values."""
        return replace(self, odd=odd) if odd else self

    def rows(self, start: int, end: int) -> Estimate:
        """The estimate of some of the rows, without odd values and regions."""
        spread = None if self.spread is None else self.spread[start:end]
        return Estimate(self.prediction[start:end], spread)


class Answers:
    """Makes the answers of one task.

    The task gives the fields of an answer. An ensemble adds `spread`, the standard deviation over
    its members of the number that is answered. A row with values unlike those of training also has
    `warnings`: what is odd, by column. Where regions are asked for, there is an `interval` or a
    `set`, and where rows are grouped the `group` whose rows calibrated it, null for all rows.

    Args:
        task: of the predictions.
        groups: values of the groups of regions.
    """

    def __init__(self, task: Task, groups: Sequence[GroupValue] = ()) -> None:
        self._task = task
        self._groups = [*groups, None]  # the last one is that of the place -1

    def __call__(self, estimate: Estimate) -> list[Answer]:
        """Make one answer a row.

        Raises:
            ServeError: a prediction is not finite; JSON has no such number.
        """
        require_finite(estimate.prediction)
        answers = self._task.answers(estimate.prediction)
        if estimate.spread is not None:
            require_finite(estimate.spread)
            for answer, each in zip(answers, estimate.spread.tolist(), strict=True):
                answer["spread"] = each
        if estimate.region is not None:
            self._add(estimate.region, answers)
        for row, odd in (estimate.odd or {}).items():
            answers[row]["warnings"] = odd
        return answers

    def _add(self, region: Region, answers: Sequence[Answer]) -> None:
        name = self._task.region
        for answer, each in zip(answers, self._task.region_answers(region.values), strict=True):
            answer[name] = each
        if region.groups is not None:
            for answer, place in zip(answers, region.groups.tolist(), strict=True):
                answer[GROUP] = self._groups[place]


def of_members(
    predictions: torch.Tensor,
    task: Task,
    counted: torch.Tensor | None = None,
    temperature: float = 1.0,
) -> Estimate:
    """The mean and spread of an ensemble.

    Args:
        predictions: predictions with a first dimension of members.
        task: kind of the target.
        counted: places of members, each as often as it counts; None counts each once.
        temperature: of the mean, and of each member for the spread.
    """
    if counted is not None:
        # Not repeat_interleave, which wakes threads for a row.
        predictions = predictions.index_select(0, counted)
    mean = task.tempered(predictions.mean(0), temperature)
    spread = task.spread(task.tempered(predictions, temperature), mean)
    return Estimate(mean, spread)


def scalable(outputs: torch.Tensor, temperature: float) -> torch.Tensor:
    """Outputs whose predictions a temperature may scale.

    In float32 the probability of a binary answer is 1 from log-odds of 17 on, which no temperature
    moves; in float64 from 37 on.
    """
    return outputs if temperature == 1 else outputs.double()


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
