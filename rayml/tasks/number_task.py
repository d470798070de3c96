"""Tasks whose target is a number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rayml.errors import DataError
from rayml.tasks.conformal import Floats
from rayml.tasks.regions import Predicted, Regions
from rayml.tasks.task import Answer, Apart, Label, Observed, Output, Schema, Task
from rayml.types import ClassLabel, TargetInfo

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

# Standard deviations from the mean beyond which feedback has no label, so that squares stay finite.
FARTHEST = 1e9
_BINS = 20


class NumberTask(Task):
    """A number: a model's outputs are decoded to values in the target's own units.

    A number is answered as `{"value"}`.

    Attributes:
        field: name of the number in an answer.
    """

    field: ClassVar[str] = "value"
    takes = "numbers"
    kinds = frozenset({"numeric"})
    has_classes = False
    region = "interval"
    takes_scale = True
    outputs = 1

    def __init__(self, info: TargetInfo, **objective: Any) -> None:
        super().__init__(info, **objective)
        self.unit = info.scale

    @classmethod
    def fit(cls, name: str, observed: Observed, positive: ClassLabel | None) -> TargetInfo:  # noqa: ARG003 - there are no classes
        """Describe a target by its mean and standard deviation.

        Raises:
            DataError: it does not vary, or its numbers are too large to square.
        """
        scale = observed.deviation
        if scale == 0:
            raise DataError(
                f"column {name!r} has the same value in each training row",
                found=observed.mean,
                remedy="Set data.target to a column that varies",
            )
        if not math.isfinite(scale):
            raise DataError(
                f"the numbers of column {name!r} are too large to square",
                found=(observed.minimum, observed.maximum),
                remedy="Divide them by a power of ten",
            )
        return TargetInfo(name, cls.name, mean=observed.mean, scale=scale)

    def truth(self, target: Tensor) -> Tensor:
        """Standardised values in own units, float64."""
        return target.double() * self.info.scale + self.info.mean

    # ---------------------------------------------------------------- the shape of an answer

    def answer_schema(self) -> Schema:
        """The value."""
        return {self.field: {"type": "number"}}

    def answers(self, predictions: Tensor) -> list[Answer]:
        """The values."""
        field = self.field
        return [{field: value} for value in predictions.tolist()]

    def output_tensors(self) -> dict[str, Output]:
        """The value."""
        return {self.field: Output("FP64")}

    def output_values(self, predictions: Tensor) -> dict[str, npt.NDArray[np.generic]]:
        """The values as an array."""
        return {self.field: predictions.double().numpy()}

    def spread(self, members: Tensor, mean: Tensor) -> Tensor:  # noqa: ARG002 - each value is the answer
        """Standard deviation of the values."""
        return members.std(0)

    # ---------------------------------------------------------------- explanations

    def chosen(self, predictions: Tensor) -> Tensor:
        """Zeros."""
        return predictions.new_zeros(len(predictions)).long()

    def explained(self, predictions: Tensor, codes: Tensor) -> Tensor:  # noqa: ARG002 - there is one number
        """The values."""
        return predictions

    # ---------------------------------------------------------------- regions

    @property
    def region_columns(self) -> tuple[str, ...]:
        """The ends of an interval."""
        return ("low", "high")

    def misfits(self, predicted: Predicted, truth: Tensor) -> Floats:
        """Absolute errors, in units of the scale where there is one."""
        errors = np.abs(truth.double().numpy() - self._centers(predicted))
        return errors if predicted.scale is None else errors / predicted.scale

    def regions(self, predicted: Predicted, limits: Floats) -> Regions:
        """Values around the predicted one."""
        reach = limits if predicted.scale is None else limits * predicted.scale
        centers = self._centers(predicted)
        return np.stack([centers - reach, centers + reach], axis=1)

    def covers(self, regions: Regions, truth: Tensor) -> npt.NDArray[np.bool_]:
        """Whether the true value lies in the interval, its ends included."""
        values = truth.double().numpy()
        found: npt.NDArray[np.bool_] = (regions[:, 0] <= values) & (values <= regions[:, 1])
        return found

    def region_sizes(self, regions: Regions) -> Floats:
        """Widths of the intervals."""
        sizes: Floats = regions[:, 1] - regions[:, 0]
        return sizes

    def region_answers(self, regions: Regions) -> list[Any]:
        """The ends of each interval."""
        ends: list[Any] = regions.tolist()
        return ends

    def region_schema(self) -> Schema:
        """Two numbers."""
        return {
            "type": "array",
            "items": {"type": "number"},
            "minItems": 2,
            "maxItems": 2,
            "description": "Ends between which the true value lies with the probability asked for.",
        }

    def _centers(self, predicted: Predicted) -> Floats:
        centers: Floats = predicted.predictions.double().numpy()
        return centers

    # ---------------------------------------------------------------- what comes back

    def label_schema(self) -> Schema:
        """A number."""
        return {"type": "number"}

    def example_label(self) -> Label:
        """The mean."""
        return self.info.mean

    def read_label(self, given: object) -> Label:
        """The number as a float.

        Raises:
            ValueError: it is no number, or lies too far from the mean.
        """
        number = _number(given)
        if number is None or not abs(number - self.info.mean) <= FARTHEST * self.info.scale:
            raise ValueError(
                f"labels are numbers within {FARTHEST:.0e} standard deviations of the target's mean"
            )
        return number

    def losses(self, answers: Sequence[Answer], labels: Sequence[Label]) -> list[float]:
        """Absolute errors in standard deviations of the target."""
        field = self.field
        # What a model predicts is finite, but its square may not be.
        return [
            min(abs(answer[field] - label) / self.info.scale, FARTHEST)
            for answer, label in zip(answers, labels, strict=True)
        ]

    def bins(self, predictions: Tensor) -> tuple[Tensor, int]:
        """20 steps over three standard deviations on either side of the mean."""
        steps = (predictions - self.info.mean) / self.info.scale
        return ((steps + 3) * (_BINS / 6)).floor().long(), _BINS

    # ---------------------------------------------------------------- two models

    def answers_apart(self, answers: Sequence[Answer], others: Sequence[Answer]) -> Apart:
        """The sum of absolute differences."""
        pairs = zip(answers, others, strict=True)
        field = self.field
        return Apart(0, sum(abs(one[field] - other[field]) for one, other in pairs))

    def predictions_apart(self, predictions: Tensor, others: Tensor) -> Apart:
        """The sum of absolute differences."""
        return Apart(0, float((predictions - others).abs().sum()))

    def aligned(self, predictions: Tensor, classes: Sequence[ClassLabel]) -> Tensor:  # noqa: ARG002 - there are no classes
        """The same."""
        return predictions

    def constants(
        self,
        shares: Sequence[float],  # noqa: ARG002 - there are no classes
        profile: Mapping[str, Any],
        rows: int,
    ) -> list[Tensor]:
        """The mean, and the median."""
        import torch

        quantiles = profile.get("quantiles") or [self.info.mean]
        values = (self.info.mean, quantiles[len(quantiles) // 2])
        return [torch.full((rows,), float(value), dtype=torch.float64) for value in values]


def _number(label: object) -> float | None:
    """A label as a number; None if it is none, or one that a float has no room for."""
    if not isinstance(label, int | float) or isinstance(label, bool):
        return None
    try:
        return float(label)
    except OverflowError:
        return None
