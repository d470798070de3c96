"""Binary classification: two classes, of which the second one is the positive class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rayml.errors import DataError
from rayml.tasks.class_task import ClassTask
from rayml.tasks.decisions.choose import choose_threshold
from rayml.tasks.decisions.rule import COST, HALF, ByThreshold, DecisionRule
from rayml.tasks.task import Answer, Apart, Measure, Observed
from rayml.types import ClassLabel, TargetInfo

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

_BINS = 20


class BinaryTask(ClassTask):
    """Two classes: one logit, that of the positive class."""

    name = "binary"
    likelihood = "bernoulli"
    needs_each_class = True
    class_counts = (2, 2)
    rule_metrics = frozenset({"accuracy", "f1", "balanced_accuracy", COST})
    outputs = 1

    @classmethod
    def own_metrics(cls) -> Mapping[str, Measure]:
        """Metrics of P(positive)."""
        from rayml.tasks.metrics import BINARY

        return BINARY

    @classmethod
    def metric_for(cls, shares: Sequence[float]) -> str:
        """The same; the AUROC where the positive class is the frequent one.

        Average precision says nothing there, and the AUROC takes both classes alike.
        """
        metric = super().metric_for(shares)
        return "auroc" if metric != cls.default_metric and shares[1] > shares[0] else metric

    @classmethod
    def fit(cls, name: str, observed: Observed, positive: ClassLabel | None) -> TargetInfo:
        """Describe a target by its classes, the positive one second.

        Raises:
            DataError: there are not two classes, or the positive one is none of them.
        """
        info = super().fit(name, observed, positive)
        if positive is None:
            return info
        chosen = [label for label in info.classes if label == positive] or [
            label for label in info.classes if _same(label, positive)
        ]
        if not chosen:
            raise DataError(
                f"the positive class {positive!r} is no class of column {name!r}",
                remedy=f"Set data.positive to one of {list(info.classes)}",
            )
        classes = sorted(info.classes, key=lambda label: label == chosen[0])
        return replace(info, classes=tuple(classes))

    def loss(
        self, outputs: Tensor, target: Tensor, label_smoothing: float | Tensor = 0.0
    ) -> Tensor:
        """Cross entropy; smoothing moves each target that far towards even odds."""
        return self.row_losses(outputs, target, label_smoothing).mean(-1)

    def row_losses(
        self, outputs: Tensor, target: Tensor, label_smoothing: float | Tensor = 0.0
    ) -> Tensor:
        """The same of each row."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        odds = target.to(outputs.dtype) * (1 - label_smoothing) + label_smoothing / 2
        logits = outputs.squeeze(-1)
        return binary_cross_entropy_with_logits(logits, odds.expand(logits.shape), reduction="none")

    def predict(self, outputs: Tensor) -> Tensor:
        """Probability of the positive class, [..., rows]."""
        logits = outputs.squeeze(-1)
        return (logits if self.temperature == 1 else logits / self.temperature).sigmoid()

    def tempered(self, predictions: Tensor, temperature: float) -> Tensor:
        """Probabilities of log-odds that are divided; float64, so that none gets across a half."""
        if temperature == 1:
            return predictions
        return (predictions.double().logit() / temperature).sigmoid()

    def pool(self, outputs: Tensor) -> Tensor:
        """The logit of the mean probability."""
        from torch.nn.functional import logsigmoid

        # Of both classes, since 1 - p has no digits left where p is near 1.
        return logsigmoid(outputs).logsumexp(0) - logsigmoid(-outputs).logsumexp(0)

    def answers(self, predictions: Tensor) -> list[Answer]:
        """The positive class from the threshold on, which is a half without a rule."""
        positive, threshold = predictions.tolist(), self._threshold
        return [self._answer(int(p >= threshold), [1 - p, p]) for p in positive]

    def probabilities(self, predictions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Those of the negative and of the positive class."""
        both = np.empty((len(predictions), 2))
        np.subtract(1, predictions, out=both[:, 0])
        both[:, 1] = predictions
        return both

    def spread(self, members: Tensor, mean: Tensor) -> Tensor:  # noqa: ARG002 - both classes spread alike
        """Standard deviation of P(positive), which is that of either class."""
        return members.std(0)

    def chosen(self, predictions: Tensor) -> Tensor:
        """1 where the probability of the positive class is the threshold or more."""
        return (predictions.double() >= self._threshold).long()

    @property
    def _threshold(self) -> float:
        rule = self.rule
        return HALF if rule is None or rule.threshold is None else rule.threshold

    def takes_rule(self, rule: DecisionRule) -> bool:
        """Whether it has a threshold."""
        return super().takes_rule(rule) and rule.threshold is not None

    def choose_rule(
        self, metric: ByThreshold, predictions: Tensor, truth: Tensor
    ) -> DecisionRule | None:
        """See `rayml.tasks.decisions.choose.choose_threshold`."""
        return choose_threshold(predictions.double().numpy(), truth.numpy(), metric)

    def decided(self, predictions: Tensor) -> Tensor:
        """1 or 0, by the threshold."""
        return self.chosen(predictions).double()

    def explained(self, predictions: Tensor, codes: Tensor) -> Tensor:
        """The probability of the class that is asked for."""
        return predictions.where(codes == 1, 1 - predictions)

    def bins(self, predictions: Tensor) -> tuple[Tensor, int]:
        """20 steps of P(positive)."""
        return (predictions * _BINS).long(), _BINS

    def predictions_apart(self, predictions: Tensor, others: Tensor) -> Apart:
        """Labels that differ, and the difference of P(positive)."""
        changed = (self.chosen(predictions) != self.chosen(others)).sum()
        return Apart(int(changed), float((predictions - others).abs().sum()))

    def aligned(self, predictions: Tensor, classes: Sequence[ClassLabel]) -> Tensor:
        """P(positive) where the other model may have the other positive class."""
        return 1 - predictions if tuple(classes) != self.info.classes else predictions

    def constants(
        self,
        shares: Sequence[float],
        profile: Mapping[str, Any],  # noqa: ARG002 - the shares say it all
        rows: int,
    ) -> list[Tensor]:
        """The share of the positive class, and always the same class."""
        import torch

        odds = (shares[1], 0.0, 1.0)
        return [torch.full((rows,), float(value), dtype=torch.float64) for value in odds]


def _same(label: ClassLabel, positive: ClassLabel) -> bool:
    # YAML reads yes, true and 1 as what they look like, whatever the column holds.
    return str(label).lower() == str(positive).lower()
