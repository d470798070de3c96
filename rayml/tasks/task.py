"""Tasks: what a kind of target asks of data, of a model's outputs and of an answer.

A task has two sides. What depends on its kind alone (which columns it predicts, its metrics) is on
the class, so that settings and data ask it before there is a target. What depends on the target
too (its classes, its scale) is on the object. Importing this module loads no PyTorch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

from rayml.tasks.decisions.deciding import DecidingTask
from rayml.tasks.decisions.weighing import WeighingTask
from rayml.tasks.objectives import (
    LOSS,
    Directed,
    Objective,
    choose_objective,
    metric_directions,
)
from rayml.tasks.regions import RegionTask
from rayml.types import ClassLabel, Direction, Kind, TargetInfo

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

Answer = dict[str, Any]
Schema = dict[str, Any]
Label = ClassLabel | float
Measure = Callable[["Tensor", "Tensor"], "Tensor | float"]


class Metric(Directed, Protocol):
    """What a user's metric must have; it sees the rows of one model at a time."""

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor | float:
        """Measure predictions as of `Task.predict` against codes or values in own units."""


@dataclass(frozen=True, slots=True)
class Observed:
    """The target on the training split.

    Attributes:
        classes: the different labels in their own order; empty for numbers.
        mean: of numbers.
        deviation: standard deviation of numbers.
        minimum: of numbers.
        maximum: of numbers.
    """

    classes: Sequence[ClassLabel] = ()
    mean: float = 0.0
    deviation: float = 1.0
    minimum: float = 0.0
    maximum: float = 0.0


@dataclass(frozen=True, slots=True)
class Output:
    """A tensor of the endpoint's answer.

    Attributes:
        datatype: by the Open Inference Protocol, such as `FP64`.
        shape: sizes of its dimensions, -1 for the rows.
        names: of its columns where it has two dimensions.
        coded: whether its values are codes of the target's classes, which the endpoint writes as
            labels.
    """

    datatype: str
    shape: tuple[int, ...] = (-1,)
    names: tuple[str, ...] = ()
    coded: bool = False


@dataclass(frozen=True, slots=True)
class Apart:
    """How far two models are apart on some rows.

    Attributes:
        changed: rows with another label; 0 where there are no classes.
        difference: absolute difference of probability or value, summed over the rows.
    """

    changed: int
    difference: float


class Task(RegionTask, DecidingTask, WeighingTask, ABC):
    """All that differs between kinds of target.

    `ClassTask` and `NumberTask` implement most of it for labels and for numbers. A further kind is
    a subclass of one of them, see `rayml.tasks.table`.

    Args:
        info: the target.
        metric: the metric that is optimised, or `loss`; None takes the task's usual one.
        metrics: further metrics by name.

    Attributes:
        name: of the kind, as settings have it.
        takes: the values that it predicts, in words.
        kinds: kinds of column that hold such values.
        has_classes: whether the target is a label, which is encoded as int64 codes; else it is a
            number, which is encoded as a standardised float32.
        needs_each_class: whether no metric is defined on a split that lacks a class.
        smooths_labels: whether `train.label_smoothing` changes the loss.
        likelihood: the distribution whose negative log-likelihood the loss is, up to constants and
            smoothed labels; None of any other loss, as of a subclass that has a loss of its own.
        directions: which values of each metric are better.
        default_metric: the metric that is optimised where none is named.
        proper_metric: a metric that is best for the true probabilities, or the true mean.
        blind_metrics: metrics that a constant answer may be best at.
        metric: name of the metric that is optimised.
        direction: whether it is minimised or maximised.
        metrics: all metrics by name.
        outputs: number of outputs of a model.
        unit: what one of an answer's number is measured in: 1 for a probability, the standard
            deviation of the target for a value.

    Raises:
        ConfigError: a metric that is unknown, named twice, or has no direction.
    """

    name: ClassVar[str]
    takes: ClassVar[str]
    kinds: ClassVar[frozenset[Kind]]
    has_classes: ClassVar[bool]
    needs_each_class: ClassVar[bool] = False
    smooths_labels: ClassVar[bool] = False
    likelihood: ClassVar[Literal["bernoulli", "categorical", "gaussian"] | None] = None
    directions: ClassVar[Mapping[str, Direction]]
    default_metric: ClassVar[str]
    proper_metric: ClassVar[str]
    blind_metrics: ClassVar[frozenset[str]] = frozenset()
    outputs: int
    unit: float

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "loss" in vars(cls) and "likelihood" not in vars(cls):
            cls.likelihood = None

    def __init__(
        self,
        info: TargetInfo,
        *,
        metric: str | None = None,
        metrics: Mapping[str, Metric] = MappingProxyType({}),
    ) -> None:
        objective = self.choose_objective(metric, metrics)
        self.info = info
        self.metric = objective.metric
        self.direction: Direction = objective.direction
        self._users = metrics
        self._metrics: Mapping[str, Measure] = {}

    # ---------------------------------------------------------------- metrics

    @classmethod
    def choose_objective(cls, metric: str | None, users: Mapping[str, Directed]) -> Objective:
        """Choose what is optimised, see `rayml.tasks.objectives.choose_objective`."""
        chosen = cls.default_metric if metric is None else metric
        return choose_objective(cls.name, chosen, cls.known_metrics(users))

    @classmethod
    def known_metrics(cls, users: Mapping[str, Directed]) -> dict[str, Direction | None]:
        """Every metric with its direction, see `rayml.tasks.objectives.metric_directions`."""
        return metric_directions(cls.directions, users)

    @classmethod
    def metric_for(cls, shares: Sequence[float]) -> str:  # noqa: ARG003 - numbers have none
        """The metric that means something for classes of these shares of the training split."""
        return cls.default_metric

    @classmethod
    @abstractmethod
    def own_metrics(cls) -> Mapping[str, Measure]:
        """The metrics that `directions` names, vectorised over leading dimensions."""

    @property
    def metrics(self) -> Mapping[str, Measure]:
        """All metrics by name, the user's last."""
        if not self._metrics:
            self._metrics = {**self.by_rule(self.own_metrics()), **self._users}
        return self._metrics

    # ---------------------------------------------------------------- data

    @classmethod
    @abstractmethod
    def fit(cls, name: str, observed: Observed, positive: ClassLabel | None) -> TargetInfo:
        """Describe a target.

        Args:
            name: its column.
            observed: its values on the training split.
            positive: label of the positive class that the user names; None where none is.

        Raises:
            DataError: the values do not suit the task.
        """

    # ---------------------------------------------------------------- training

    @abstractmethod
    def predict(self, outputs: Tensor) -> Tensor:
        """Decode outputs [..., rows, outputs] into predictions."""

    @abstractmethod
    def pool(self, outputs: Tensor) -> Tensor:
        """Outputs [rows, outputs] whose prediction is the mean of several models' predictions.

        Args:
            outputs: of an ensemble's members, [members, rows, outputs].
        """

    @property
    def takes_temperature(self) -> bool:
        """Whether `tempered` scales predictions, as log-likelihoods can be."""
        return False

    def fit_temperature(self, predictions: Tensor, truth: Tensor) -> float:  # noqa: ARG002
        """The temperature that predictions for validation rows need; 1 where none is better."""
        return 1.0

    def at_temperature(self, temperature: float) -> Self:  # noqa: ARG002 - see `ClassTask`
        """The same task, whose `predict` divides the outputs of one model."""
        return self

    def tempered(self, predictions: Tensor, temperature: float) -> Tensor:  # noqa: ARG002
        """Predictions of a temperature, see `rayml.tasks.temperature`; no label changes."""
        return predictions

    def truth(self, target: Tensor) -> Tensor:
        """Encoded targets as the metrics take them."""
        return target

    def evaluate(self, outputs: Tensor, target: Tensor) -> dict[str, float]:
        """Measure the outputs of one model: `loss` and every metric by name.

        Args:
            outputs: [rows, outputs].
            target: encoded, [rows].
        """
        (measured,) = self.evaluate_lanes(outputs.unsqueeze(0), target)
        return measured

    def evaluate_lanes(self, outputs: Tensor, target: Tensor) -> list[dict[str, float]]:
        """Measure stacked models at once, a mapping each; see `evaluate`.

        Args:
            outputs: [lanes, rows, outputs].
            target: encoded, [rows].
        """
        prediction, truth = self.predict(outputs), self.truth(target)
        values = {LOSS: self.loss(outputs, target).tolist()}
        for name, metric in self.metrics.items():
            if name in self.directions:
                values[name] = metric(prediction, truth).tolist()  # type: ignore[union-attr]
            else:  # a user's metric knows one model, and may write to what it is given
                values[name] = [float(metric(each.clone(), truth.clone())) for each in prediction]
        return [
            {name: lanes[lane] for name, lanes in values.items()} for lane in range(len(outputs))
        ]

    # ---------------------------------------------------------------- the shape of an answer

    @abstractmethod
    def answer_schema(self) -> Schema:
        """JSON Schema of each field of an answer, by its name."""

    @abstractmethod
    def answers(self, predictions: Tensor) -> list[Answer]:
        """An answer for each of the predictions [rows, …], as JSON gives it."""

    @abstractmethod
    def output_tensors(self) -> dict[str, Output]:
        """The tensors of an answer by their names, which are those of its fields."""

    @abstractmethod
    def output_values(self, predictions: Tensor) -> dict[str, npt.NDArray[np.generic]]:
        """Values of the tensors of `output_tensors`: FP64, or int64 codes where they are coded."""

    @abstractmethod
    def spread(self, members: Tensor, mean: Tensor) -> Tensor:
        """Standard deviation over an ensemble's members of the number that is answered, [rows].

        Args:
            members: predictions, members first.
            mean: over the members.
        """

    # ---------------------------------------------------------------- explanations

    @abstractmethod
    def explained(self, predictions: Tensor, codes: Tensor) -> Tensor:
        """The number that an explanation adds up to, [rows].

        Args:
            predictions: of one model.
            codes: of the classes that are asked for, [rows].
        """

    # ---------------------------------------------------------------- what comes back

    @abstractmethod
    def label_schema(self) -> Schema:
        """JSON Schema of a label as feedback has it."""

    @abstractmethod
    def example_label(self) -> Label:
        """A label for the documentation."""

    @abstractmethod
    def read_label(self, given: object) -> Label:
        """A label of feedback in the target's own type.

        Raises:
            ValueError: it is none; the text says what a label is.
        """

    @abstractmethod
    def losses(self, answers: Sequence[Answer], labels: Sequence[Label]) -> list[float]:
        """How wrong answers are, row by row, in a unit that canary and champion share."""

    @abstractmethod
    def bins(self, predictions: Tensor) -> tuple[Tensor, int]:
        """Place predictions in a histogram: their bins, which may lie outside of it, and its size.

        Canary and champion are compared by it, so that it depends on nothing but the target.
        """

    # ---------------------------------------------------------------- two models

    @abstractmethod
    def answers_apart(self, answers: Sequence[Answer], others: Sequence[Answer]) -> Apart:
        """How far answers of two models to the same rows are apart."""

    @abstractmethod
    def predictions_apart(self, predictions: Tensor, others: Tensor) -> Apart:
        """How far predictions of two models for the same rows are apart."""

    @abstractmethod
    def aligned(self, predictions: Tensor, classes: Sequence[ClassLabel]) -> Tensor:
        """Predictions of a model with the same classes in another order, as this task has them.

        Args:
            predictions: of the model.
            classes: in its order.
        """

    @abstractmethod
    def constants(
        self, shares: Sequence[float], profile: Mapping[str, Any], rows: int
    ) -> list[Tensor]:
        """Predictions that do not look at the row: what a model must beat to be worth anything.

        There are several, since which of them is the best depends on the metric.

        Args:
            shares: of the classes in the training split; empty for numbers.
            profile: of the target there, see `rayml.data.statistics.profile`; it may hide the
                quantiles.
            rows: number of rows.
        """
