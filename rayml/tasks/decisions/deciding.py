"""The part of a task that decides which class is answered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Self

from rayml.tasks.decisions.rule import ByThreshold, DecisionRule

if TYPE_CHECKING:
    from torch import Tensor

    Measure = Callable[[Tensor, Tensor], Tensor | float]


class DecidingTask(ABC):
    """The part of a task that decides; without classes there is nothing to decide.

    Attributes:
        rule: by which a class is answered; None answers the most probable one.
        decision_metrics: metrics that depend on the class that is answered alone.
        rule_metrics: metrics of `DecisionRule` for which there may be a rule.
        class_counts: how many classes there may be, least and most.
    """

    rule: DecisionRule | None = None
    decision_metrics: ClassVar[frozenset[str]] = frozenset()
    rule_metrics: ClassVar[frozenset[str]] = frozenset()
    class_counts: ClassVar[tuple[int, int]] = (0, 0)

    def takes_rule(self, rule: DecisionRule) -> bool:
        """Whether a rule decides between the classes of this target."""
        return rule.metric in self.rule_metrics

    def deciding(self, rule: DecisionRule | None) -> Self:  # noqa: ARG002 - see `ClassTask`
        """The same task, whose answers and `metrics` are by a rule."""
        return self

    def choose_rule(
        self,
        metric: ByThreshold,  # noqa: ARG002 - see `ClassTask`
        predictions: Tensor,  # noqa: ARG002
        truth: Tensor,  # noqa: ARG002
    ) -> DecisionRule | None:
        """The rule that is best by a metric on rows that did not train the model.

        Returns:
            None where none gains more than chance on rows that did not set it.
        """
        return None

    def decided(self, predictions: Tensor) -> Tensor:
        """Predictions that are certain of the class that the rule answers.

        The most probable class of these is the one that the rule answers for the predictions, as it
        is of every rule.
        """
        return predictions

    def by_rule(self, metrics: Mapping[str, Measure]) -> Mapping[str, Measure]:
        """Metrics that measure what the rule answers, and those that come with it."""
        return metrics

    @abstractmethod
    def chosen(self, predictions: Tensor) -> Tensor:
        """Codes of the classes that are answered, int64 [..., rows]; 0 where there are none."""
