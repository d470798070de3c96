"""What rayml expects of a metric, as tests for its author.

A class of tests that pytest collects:

    class TestProfit(MetricTests):
        task = "binary"

        def make(self):
            return Profit(margin=3.0)
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from rayml.tasks.task import Metric
from rayml.testing.rows import TARGETS
from rayml.types import TaskName

_ROWS = 60


class MetricTests:
    """The contract of a metric; subclass it and give `task` and `make`.

    Attributes:
        task: whose predictions it measures.
        ordered: whether better predictions have a better value; a metric of something else than
            quality, such as a mean probability, sets False.
        stacked: whether it also takes several models at once, [models, rows], as rayml's own do.
    """

    task: ClassVar[TaskName] = "binary"
    ordered: ClassVar[bool] = True
    stacked: ClassVar[bool] = False

    def make(self) -> Metric:
        """The metric under test."""
        raise NotImplementedError

    def test_it_has_a_direction(self) -> None:
        """`minimize` or `maximize`, so that it can be optimised."""
        found = getattr(self.make(), "direction", None)
        assert found in {"minimize", "maximize"}, f"direction is {found!r}"

    def test_values_are_finite_numbers(self) -> None:
        """One number for all rows, however many there are."""
        for rows in (_ROWS, 7):
            for quality in (0.0, 0.5, 1.0):
                found = self._value(*self._rows(rows, quality))
                assert math.isfinite(found), f"of {rows} rows it is {found}"

    def test_inputs_are_left_as_they_are(self) -> None:
        """Other metrics read the same tensors."""
        prediction, target = self._rows(_ROWS, 0.5)
        before = prediction.clone(), target.clone()
        self._value(prediction, target)
        assert torch.equal(prediction, before[0]), "it writes to the predictions"
        assert torch.equal(target, before[1]), "it writes to the targets"

    def test_the_order_of_rows_does_not_matter(self) -> None:
        """Splits are stored in an order that means nothing, and no value depends on chance."""
        prediction, target = self._rows(_ROWS, 0.5)
        order = torch.randperm(_ROWS, generator=torch.Generator().manual_seed(1))
        one, other = self._value(prediction, target), self._value(prediction[order], target[order])
        assert math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9), (
            f"in another order of the rows {one} becomes {other}"
        )

    def test_better_predictions_have_a_better_value(self) -> None:
        """The direction is the right one."""
        if not self.ordered:
            return
        worst, best = (self._value(*self._rows(_ROWS, quality)) for quality in (0.0, 1.0))
        direction = self.make().direction
        assert best < worst if direction == "minimize" else best > worst, (
            f"true predictions have {best}, wrong ones {worst}, and the direction is {direction}"
        )

    def test_several_models_have_the_values_of_each(self) -> None:
        """A metric that is vectorised over models gives each what it has alone."""
        if not self.stacked:
            return
        cases = [self._rows(_ROWS, quality) for quality in (0.0, 0.5, 1.0)]
        found = self.make()(torch.stack([each for each, _ in cases]), cases[0][1])
        assert isinstance(found, Tensor), f"for 3 models it returns a {type(found).__name__}"
        assert found.shape == (3,), f"for 3 models it returns shape {tuple(found.shape)}"
        alone = torch.tensor([self._value(*each) for each in cases], dtype=torch.float64)
        assert torch.allclose(found.double(), alone), "a model's value depends on the others"

    def _value(self, prediction: Tensor, target: Tensor) -> float:
        return float(self.make()(prediction, target))

    def _rows(self, rows: int, quality: float) -> tuple[Tensor, Tensor]:
        """Predictions, as of `Task.predict`, and targets; 1 is right, 0 is wrong."""
        generator = torch.Generator().manual_seed(rows)
        noise = torch.rand(rows, generator=generator)
        classes = len(TARGETS[self.task].classes)
        if not classes:
            target = torch.linspace(1, 9, rows, dtype=torch.float64)
            return target + (1 - quality) * (4 + noise), target
        target = torch.arange(rows) % classes
        wrong = (target + 1) % classes
        chosen = torch.where(noise < quality, target, wrong)
        sure = torch.nn.functional.one_hot(chosen, classes) * 0.8 + 0.2 / classes
        sure = sure + 0.01 * noise.unsqueeze(1)
        sure = sure / sure.sum(1, keepdim=True)
        return (sure[:, 1] if classes == 2 else sure), target
