"""The part of a task that lets rows of some classes count more in training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Floats = npt.NDArray[np.float64]


class WeighingTask(ABC):
    """The part of a task that weighs classes; without classes there is nothing to weigh.

    Attributes:
        weighs_classes: whether `train.class_weights` changes the training.
        class_weights: how much a row of each class counts in `training_loss`, by code, with a mean
            of 1 over the training rows; None where all count alike.
    """

    weighs_classes: ClassVar[bool] = False
    class_weights: Floats | None = None

    def weighing(self, weights: Floats | None) -> Self:  # noqa: ARG002 - see `ClassTask`
        """The same task, whose `training_loss` weighs rows by their classes."""
        return self

    def row_weights(self, target: npt.NDArray[Any]) -> Floats | None:
        """How much each row counts in training, [rows]; None where all count alike."""
        return None if self.class_weights is None else self.class_weights[target]

    @property
    def weight_shift(self) -> Floats | None:
        """What training adds to outputs that are to be those of unweighted rows, [outputs].

        None where all classes count alike.
        """
        return None

    @abstractmethod
    def loss(
        self, outputs: Tensor, target: Tensor, label_smoothing: float | Tensor = 0.0
    ) -> Tensor:
        """Mean loss over the rows of [..., rows, outputs], shape [...]; all rows count alike.

        Args:
            outputs: of the model, or of stacked ones.
            target: encoded, [rows] or with the same leading dimensions.
            label_smoothing: in [0, 1); of stacked models [lanes, 1].
        """

    def training_loss(
        self, outputs: Tensor, target: Tensor, label_smoothing: float | Tensor = 0.0
    ) -> Tensor:
        """The loss that training makes small: `loss`, or one that weighs rows by their classes."""
        return self.loss(outputs, target, label_smoothing)

    def members_loss(
        self, outputs: Tensor, target: Tensor, label_smoothing: float | Tensor = 0.0
    ) -> Tensor:
        """Mean of the members' `training_loss`, whose outputs are [..., members, rows, outputs]."""
        own = target if target.dim() == 1 else target.unsqueeze(-2)
        smooth = label_smoothing
        return self.training_loss(
            outputs, own, smooth if isinstance(smooth, float) else smooth.unsqueeze(-1)
        ).mean(-1)
