"""Tasks whose target is a label."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from rayml.errors import DataError
from rayml.tasks.conformal import Floats, set_scores
from rayml.tasks.decisions.rule import COST, DecisionRule
from rayml.tasks.regions import Predicted, Regions
from rayml.tasks.task import Answer, Apart, Label, Measure, Observed, Output, Schema, Task
from rayml.tasks.temperature import fit_temperature
from rayml.types import ClassLabel, Direction, TargetInfo

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

MAX_CLASSES = 1000
# Of a binary task; of several classes a share of an even one's, so that the two agree.
_RARE = 0.1


def class_key(label: ClassLabel) -> str:
    """The key of a class in a JSON object, whose keys are strings."""
    return label if isinstance(label, str) else json.dumps(label)


class ClassTask(Task):
    """A label: a model's outputs are decoded to probabilities.

    A class is answered as `{"label", "probability", "probabilities": {class: p}}`, where
    `probability` is that of the label. The label is the most probable class, or the one that
    `rule` chooses.

    Attributes:
        temperature: that `predict` divides log-odds by.
    """

    takes = "text, truth values or whole numbers"
    kinds = frozenset({"numeric", "categorical", "boolean"})
    has_classes = True
    region = "set"
    takes_scale = False
    smooths_labels = True
    weighs_classes = True
    directions: ClassVar[Mapping[str, Direction]] = {
        "accuracy": "maximize",
        "auroc": "maximize",
        "log_loss": "minimize",
        "f1": "maximize",
        "calibration_error": "minimize",
        "average_precision": "maximize",
        "balanced_accuracy": "maximize",
    }
    default_metric = "accuracy"
    proper_metric = "log_loss"
    blind_metrics = frozenset({"calibration_error"})
    decision_metrics = frozenset({"accuracy", "f1", "balanced_accuracy"})
    unit = 1.0

    def __init__(self, info: TargetInfo, **objective: Any) -> None:
        super().__init__(info, **objective)
        self.temperature = 1.0
        self._keys = tuple(class_key(label) for label in info.classes)

    @classmethod
    def metric_for(cls, shares: Sequence[float]) -> str:
        """The metric that means something for classes of these shares of the training split.

        Where the rarest class has less than a tenth of the rows (of several classes: less than a
        fifth of an even share), a model that never finds it has a fine accuracy. Average precision
        asks how many of those that are put first belong to it.
        """
        frequent = min(shares) * len(shares) / 2 >= _RARE
        return cls.default_metric if frequent else "average_precision"

    @classmethod
    def fit(cls, name: str, observed: Observed, positive: ClassLabel | None) -> TargetInfo:  # noqa: ARG003 - see `BinaryTask`
        """Describe a target by its classes, in their own order.

        Raises:
            DataError: there are too few or too many.
        """
        least, most = cls.class_counts
        labels = list(observed.classes)
        if not least <= len(labels) <= most:
            takes = f"{least}" if least == most else f"{least} to {most}"
            raise DataError(
                f"column {name!r} has {len(labels)} class{'' if len(labels) == 1 else 'es'} on the"
                f" training split, and data.task={cls.name} takes {takes}",
                found=labels[:10],
                remedy="Set data.task to binary, multiclass or regression as fits the column",
            )
        return TargetInfo(name, cls.name, classes=tuple(labels))

    # ---------------------------------------------------------------- the shape of an answer

    @abstractmethod
    def probabilities(self, predictions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Probabilities of all classes, [rows, classes], from predictions."""

    def answer_schema(self) -> Schema:
        """The label, its probability, and the probabilities of all classes."""
        share = {"type": "number", "minimum": 0, "maximum": 1}
        return {
            "label": self.label_schema(),
            "probability": share,
            "probabilities": {
                "type": "object",
                "properties": dict.fromkeys(self._keys, share),
                "required": list(self._keys),
            },
        }

    def _answer(self, code: int, probabilities: Sequence[float]) -> Answer:
        return {
            "label": self.info.classes[code],
            "probability": probabilities[code],
            "probabilities": dict(zip(self._keys, probabilities, strict=True)),
        }

    def output_tensors(self) -> dict[str, Output]:
        """The fields of an answer, the probabilities in the order of the classes."""
        return {
            "label": Output("BYTES", coded=True),
            "probability": Output("FP64"),
            "probabilities": Output("FP64", (-1, len(self.info.classes)), self._keys),
        }

    def output_values(self, predictions: Tensor) -> dict[str, npt.NDArray[np.generic]]:
        """The fields of an answer as arrays."""
        codes = self.chosen(predictions).numpy()
        probabilities = self.probabilities(predictions.numpy().astype(np.float64))
        return {
            "label": codes,
            "probability": probabilities[np.arange(len(codes)), codes],
            "probabilities": probabilities,
        }

    @property
    def takes_temperature(self) -> bool:
        """Where the outputs are log-odds, as the loss says."""
        return self.likelihood is not None

    def at_temperature(self, temperature: float) -> Self:
        """The same task, whose `predict` divides the log-odds of one model."""
        changed = copy(self)
        changed.temperature = temperature
        return changed

    def fit_temperature(self, predictions: Tensor, truth: Tensor) -> float:
        """See `rayml.tasks.temperature.fit_temperature`."""
        if not self.takes_temperature:
            return 1.0
        shares = self.probabilities(predictions.numpy().astype(np.float64))
        return fit_temperature(shares, truth.numpy())

    # ---------------------------------------------------------------- weights

    def weighing(self, weights: Floats | None) -> Self:
        """The same task, whose `training_loss` weighs rows by their classes."""
        changed = copy(self)
        changed.class_weights = weights
        return changed

    @property
    def weight_shift(self) -> Floats | None:
        """Logarithms of the weights, as differences where one output stands for two classes."""
        if self.class_weights is None:
            return None
        logs = np.log(self.class_weights)
        return logs[1:] - logs[0] if self.outputs == 1 else logs

    def row_losses(
        self, outputs: Tensor, target: Tensor, label_smoothing: float | Tensor = 0.0
    ) -> Tensor:
        """Loss of each row, [..., rows]; a task whose loss is no mean of these weighs no rows."""
        raise NotImplementedError

    def training_loss(
        self, outputs: Tensor, target: Tensor, label_smoothing: float | Tensor = 0.0
    ) -> Tensor:
        """The loss of weighed rows, at outputs that are shifted by the logarithms of the weights.

        What makes it small are, unshifted, the outputs for rows that count alike: weights move what
        the model attends to, and leave its probabilities those of the data (Menon et al. 2021,
        "Long-tail learning via logit adjustment").
        """
        if self.class_weights is None:
            return self.loss(outputs, target, label_smoothing)
        import torch

        weights, shift = (
            torch.as_tensor(each, dtype=outputs.dtype, device=outputs.device)
            for each in (self.class_weights, self.weight_shift)
        )
        losses = self.row_losses(outputs + shift, target, label_smoothing)
        return (losses * weights[target]).mean(-1)

    # ---------------------------------------------------------------- decisions

    def deciding(self, rule: DecisionRule | None) -> Self:
        """The same task, whose answers and `metrics` are by a rule."""
        changed = copy(self)
        changed.rule, changed._metrics = rule, {}  # noqa: SLF001 - it is this one's own copy
        return changed

    def by_rule(self, metrics: Mapping[str, Measure]) -> Mapping[str, Measure]:
        """Those of decisions measure what is answered; a rule of costs adds their mean."""
        if self.rule is None:
            return metrics
        found = {
            name: self._of_decisions(each) if name in self.decision_metrics else each
            for name, each in metrics.items()
        }
        return {**found, COST: self._mean_cost} if self.rule.by_cost else found

    def _of_decisions(self, measure: Measure) -> Measure:
        return lambda predictions, truth: measure(self.decided(predictions), truth)

    def _mean_cost(self, predictions: Tensor, truth: Tensor) -> Tensor:
        """What answering costs on average over the rows."""
        import torch

        assert self.rule is not None
        costs = torch.from_numpy(self.rule.matrix)
        codes = self.chosen(predictions)
        return costs[truth.expand(codes.shape), codes].mean(-1)

    # ---------------------------------------------------------------- regions

    @property
    def region_columns(self) -> tuple[str, ...]:
        """The classes."""
        return self._keys

    def misfits(self, predicted: Predicted, truth: Tensor) -> Floats:
        """The probability of likelier classes and a drawn share of the true one's."""
        rows = np.arange(len(truth))
        scores: Floats = self._scores(predicted)[rows, truth.numpy()]
        return scores

    def regions(self, predicted: Predicted, limits: Floats) -> Regions:
        """The classes within the limits; the likeliest one always, as an empty set says nothing."""
        within = self._scores(predicted) <= limits[:, None]
        likeliest = self._shares(predicted).argmax(axis=1)
        within[np.arange(len(within)), likeliest] = True
        return within

    def covers(self, regions: Regions, truth: Tensor) -> npt.NDArray[np.bool_]:
        """Whether the true class is in the set."""
        found: npt.NDArray[np.bool_] = regions[np.arange(len(regions)), truth.numpy()]
        return found

    def region_sizes(self, regions: Regions) -> Floats:
        """Labels of each set."""
        sizes: Floats = regions.sum(axis=1).astype(np.float64)
        return sizes

    def region_answers(self, regions: Regions) -> list[Any]:
        """The labels of each set, in the order of the classes."""
        classes = self.info.classes
        return [
            [label for label, held in zip(classes, row, strict=True) if held]
            for row in regions.tolist()
        ]

    def region_schema(self) -> Schema:
        """Some of the classes."""
        return {
            "type": "array",
            "items": self.label_schema(),
            "minItems": 1,
            "uniqueItems": True,
            "description": "Labels, one of which is the true one with the probability asked for.",
        }

    def _scores(self, predicted: Predicted) -> Floats:
        return set_scores(self._shares(predicted), predicted.draws)

    def _shares(self, predicted: Predicted) -> Floats:
        return self.probabilities(predicted.predictions.numpy().astype(np.float64))

    # ---------------------------------------------------------------- what comes back

    def label_schema(self) -> Schema:
        """One of the classes."""
        return {"enum": list(self.info.classes)}

    def example_label(self) -> Label:
        """The first class."""
        return self.info.classes[0]

    def read_label(self, given: object) -> Label:
        """The class of this type and value.

        Raises:
            ValueError: there is none.
        """
        for known in self.info.classes:
            if type(known) is type(given) and known == given:
                return known
        raise ValueError(f"labels are {list(self.info.classes)}")

    def losses(self, answers: Sequence[Answer], labels: Sequence[Label]) -> list[float]:
        """1 for a wrong class, 0 for the right one; what it costs where costs decide."""
        pairs = zip(answers, labels, strict=True)
        if self.rule is None or not self.rule.by_cost:
            return [float(answer["label"] != label) for answer, label in pairs]
        codes: dict[Label, int] = {each: at for at, each in enumerate(self.info.classes)}
        costs = self.rule.matrix
        return [float(costs[codes[label], codes[answer["label"]]]) for answer, label in pairs]

    # ---------------------------------------------------------------- two models

    def answers_apart(self, answers: Sequence[Answer], others: Sequence[Answer]) -> Apart:
        """Labels that differ, and the largest difference of a probability of each row."""
        pairs = list(zip(answers, others, strict=True))
        changed = sum(one["label"] != other["label"] for one, other in pairs)
        return Apart(changed, sum(_difference(one, other) for one, other in pairs))


def _difference(answer: Answer, other: Answer) -> float:
    theirs = other["probabilities"]
    return float(
        max(abs(p - theirs.get(label, 0.0)) for label, p in answer["probabilities"].items())
    )
