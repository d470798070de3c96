"""Regions: what a task answers that holds the truth with a given probability.

A number has an interval, a label a set of labels; see `rayml.tasks.conformal` for why they hold.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from rayml.tasks.conformal import Floats
from rayml.types import Count, Fraction, NonNegative, settings

if TYPE_CHECKING:
    from torch import Tensor

Regions = npt.NDArray[Any]
"""Of a number float64 [rows, 2], the ends; of a label bool [rows, classes]."""


@settings
class MeasuredLevel:
    """What regions of a level are worth on the test split.

    Attributes:
        level: that was asked for.
        coverage: share of the rows whose region holds the truth.
        size: mean width of the intervals in the target's units, or mean number of labels.
        rows: that were measured.
    """

    level: Fraction
    coverage: Annotated[float, Field(ge=0, le=1)]
    size: NonNegative
    rows: Count


@dataclass(frozen=True, slots=True)
class Predicted:
    """Predictions of some rows, as regions are made around them.

    Attributes:
        predictions: of `Task.predict`; of an ensemble the mean over its members.
        scale: how far apart the members of an ensemble are, [rows]; None where regions are as wide
            for every row.
        draws: of the rows, see `rayml.tasks.conformal.draws`.
    """

    predictions: Tensor
    scale: Floats | None
    draws: Floats


class RegionTask(ABC):
    """The part of a task that makes regions.

    Attributes:
        region: the name of a region in an answer.
        takes_scale: whether the spread of an ensemble may scale its regions.
    """

    region: ClassVar[str]
    takes_scale: ClassVar[bool]

    @property
    @abstractmethod
    def region_columns(self) -> tuple[str, ...]:
        """Names of the second dimension of regions."""

    @abstractmethod
    def misfits(self, predicted: Predicted, truth: Tensor) -> Floats:
        """Scores of the true values, [rows]: the larger, the worse the prediction fits.

        Args:
            predicted: of the rows.
            truth: of the rows, as of `Task.truth`.
        """

    @abstractmethod
    def regions(self, predicted: Predicted, limits: Floats) -> Regions:
        """All values whose score is not above the limit of their row.

        Args:
            predicted: of the rows.
            limits: [rows].
        """

    @abstractmethod
    def covers(self, regions: Regions, truth: Tensor) -> npt.NDArray[np.bool_]:
        """Whether regions hold the true values, [rows]."""

    @abstractmethod
    def region_sizes(self, regions: Regions) -> Floats:
        """Widths of intervals in the target's units, or numbers of labels, [rows]."""

    @abstractmethod
    def region_answers(self, regions: Regions) -> list[Any]:
        """Regions as JSON gives them."""

    @abstractmethod
    def region_schema(self) -> dict[str, Any]:
        """JSON Schema of a region."""
