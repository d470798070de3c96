"""Multiclass classification: one of several classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rayml.tasks.class_task import MAX_CLASSES, ClassTask
from rayml.tasks.decisions.choose import choose_balance
from rayml.tasks.decisions.rule import COST, EVEN, ByThreshold, DecisionRule
from rayml.tasks.task import Answer, Apart, Measure
from rayml.types import ClassLabel, TargetInfo

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor


class MulticlassTask(ClassTask):
    """Several classes: a logit each."""

    name = "multiclass"
    likelihood = "categorical"
    class_counts = (2, MAX_CLASSES)
    rule_metrics = frozenset({"balanced_accuracy", COST})

    def __init__(self, info: TargetInfo, **objective: Any) -> None:
        super().__init__(info, **objective)
        self.outputs = len(info.classes)

    @classmethod
    def own_metrics(cls) -> Mapping[str, Measure]:
        """Metrics of the probabilities."""
        from rayml.tasks.metrics import MULTICLASS

        return MULTICLASS

    def loss(
        self, outputs: Tensor, target: Tensor, label_smoothing: float | Tensor = 0.0
    ) -> Tensor:
        """Cross entropy with label smoothing (Szegedy et al. 2016)."""
        return self.row_losses(outputs, target, label_smoothing).mean(-1)

    def row_losses(
        self, outputs: Tensor, target: Tensor, label_smoothing: float | Tensor = 0.0
    ) -> Tensor:
        """The same of each row."""
        # F.cross_entropy takes no tensor as label_smoothing, so no value a lane.
        log_odds = outputs.log_softmax(-1)
        index = target.expand(log_odds.shape[:-1]).unsqueeze(-1)
        hit = log_odds.gather(-1, index).squeeze(-1)
        return -((1 - label_smoothing) * hit + label_smoothing * log_odds.mean(-1))

    def predict(self, outputs: Tensor) -> Tensor:
        """Probabilities of the classes, [..., rows, classes]."""
        return (outputs if self.temperature == 1 else outputs / self.temperature).softmax(-1)

    def tempered(self, predictions: Tensor, temperature: float) -> Tensor:
        """Probabilities of log-probabilities that are divided; float64, which keeps their order."""
        if temperature == 1:
            return predictions
        return (predictions.double().log() / temperature).softmax(-1)

    def pool(self, outputs: Tensor) -> Tensor:
        """Logarithms of the mean probabilities."""
        return outputs.log_softmax(-1).logsumexp(0) - math.log(len(outputs))

    def answers(self, predictions: Tensor) -> list[Answer]:
        """The likeliest class, or the one that the rule answers."""
        return list(map(self._answer, self.chosen(predictions).tolist(), predictions.tolist()))

    def probabilities(self, predictions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The same."""
        return predictions

    def spread(self, members: Tensor, mean: Tensor) -> Tensor:
        """Standard deviation of the probability of the class that is answered on average."""
        return members.std(0).gather(1, self.chosen(mean).unsqueeze(1)).squeeze(1)

    def chosen(self, predictions: Tensor) -> Tensor:
        """The likeliest class; by costs that of the least expected one, of equals the likeliest."""
        if self.rule is None:
            return predictions.argmax(dim=-1)
        import torch

        costs = torch.from_numpy(self.rule.matrix)
        expected = predictions.double() @ costs
        # Sums may round otherwise in batches of other sizes, which decides nothing then.
        even = expected.amin(-1, keepdim=True) + EVEN * costs.abs().max()
        return predictions.where(expected <= even, -1.0).argmax(dim=-1)

    def takes_rule(self, rule: DecisionRule) -> bool:
        """Whether it has costs of these classes."""
        return super().takes_rule(rule) and len(rule.costs or ()) == len(self.info.classes)

    def choose_rule(
        self, metric: ByThreshold, predictions: Tensor, truth: Tensor
    ) -> DecisionRule | None:
        """See `rayml.tasks.decisions.choose.choose_balance`."""
        assert metric == "balanced_accuracy"
        return choose_balance(predictions.double().numpy(), truth.numpy())

    def decided(self, predictions: Tensor) -> Tensor:
        """1 for the class that is answered, 0 for the others."""
        from torch.nn.functional import one_hot

        return one_hot(self.chosen(predictions), predictions.shape[-1]).double()

    def explained(self, predictions: Tensor, codes: Tensor) -> Tensor:
        """The probability of the class that is asked for."""
        return predictions.gather(1, codes.unsqueeze(1)).squeeze(1)

    def bins(self, predictions: Tensor) -> tuple[Tensor, int]:
        """The class that is answered."""
        return self.chosen(predictions), len(self.info.classes)

    def predictions_apart(self, predictions: Tensor, others: Tensor) -> Apart:
        """Labels that differ, and the largest difference of a probability of each row."""
        changed = (self.chosen(predictions) != self.chosen(others)).sum()
        return Apart(int(changed), float((predictions - others).abs().amax(1).sum()))

    def aligned(self, predictions: Tensor, classes: Sequence[ClassLabel]) -> Tensor:
        """The columns in the order of this task's classes."""
        return predictions[:, [classes.index(label) for label in self.info.classes]]

    def constants(
        self,
        shares: Sequence[float],
        profile: Mapping[str, Any],  # noqa: ARG002 - the shares say it all
        rows: int,
    ) -> list[Tensor]:
        """The shares of the classes, and always the most frequent one."""
        import torch

        known = torch.tensor(shares, dtype=torch.float64)
        first = torch.nn.functional.one_hot(known.argmax(), len(known)).double()
        return [each.expand(rows, -1) for each in (known, first)]
