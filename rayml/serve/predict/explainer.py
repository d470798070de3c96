"""Explanations of a bundle's predictions, column by column."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch
from pydantic_core import to_json
from torch import Tensor

from rayml.errors import RequestError, ServeError
from rayml.models.explain.attribution import Attribution, Explained, Score
from rayml.models.explain.entrances import Vectors
from rayml.models.explain.through import shares_through
from rayml.registry.bundle.published import published
from rayml.serve.predict.answer import scalable
from rayml.serve.predict.odd_values import WARNINGS
from rayml.serve.predict.predictor import Predictor
from rayml.serve.predict.row_parser import RequestParser
from rayml.tasks.class_task import class_key
from rayml.types import ClassLabel, Features

if TYPE_CHECKING:
    from rayml.serve.predict.row_parser import Row

Explanation = dict[str, Any]

_LEAST = 1e-300  # of a probability, whose logarithm is finite


class Explainer:
    """Computes how much each column moves a prediction away from that of a baseline row.

    The explained value is the probability of the predicted class or of a requested one; of a
    regression the value, in the target's units; of an ensemble the mean over its members. The
    attributions of a row add up to the difference between its prediction and the baseline's. That
    of a column is the sum over all features of the column: the value, the indicator of a missing
    value, the parts of a time, the dimensions of a category's vector.

    The baseline is the published example: the median of numbers and times, the most frequent
    category and truth value of the training split; a missing value where that is withheld.

    It works on models of its own, which are made when it is first used, so that the predictor may
    predict in other threads meanwhile; safe to use from several threads, which take turns.

    Args:
        predictor: of the bundle.
        tolerance: of the sum, as a probability or a share of the target's standard deviation; where
            a value differs from the baseline's by more, of that difference.
        max_steps: gradients of each model for a row at most, even if the tolerance is not met.
    """

    def __init__(self, predictor: Predictor, *, tolerance: float, max_steps: int) -> None:
        self._predictor = predictor
        self._max_steps = max_steps
        self._tolerance = tolerance
        self._unit = predictor.task.unit
        self._names = [column.name for column in predictor.signature.inputs]
        place = {name: index for index, name in enumerate(self._names)}
        self._places = torch.tensor([place[name] for name in predictor.columns])
        self._through_mean = predictor.temperature != 1 and predictor.members.stacked
        self._task = predictor.task
        if not self._through_mean:
            self._task = predictor.task.at_temperature(predictor.temperature)
        self._score: Score = lambda outputs, codes: self._task.explained(
            self._task.predict(outputs), codes
        )
        self._turn = threading.Lock()
        self._models: list[Explained] = []
        parser = RequestParser(predictor.signature, max_rows=1)
        # Answers show the baseline, so it holds published values only.
        typical = published(predictor.signature).example()
        self._typical: Row = parser.parse(to_json(typical))[0]

    def explain(
        self,
        table: pa.Table,
        *,
        label: ClassLabel | None = None,
        baseline: Row | None = None,
        proceed: Callable[[], None] = lambda: None,
    ) -> list[Explanation]:
        """Explain the predictions for the rows of a raw table, one explanation a row.

        Args:
            table: raw rows, as for `Predictor.predict`.
            label: the class whose probability is explained; None takes the predicted one.
            baseline: values that replace those of the baseline; None is a missing value.
            proceed: is called now and then; it may raise an error to end the work.

        Raises:
            ExplainError: the model cannot be explained, or Captum is not installed.
            RequestError: 422, there is no such class.
            ServeError: a prediction is not finite.
        """
        asked = None if label is None else self._code(label)
        features = self._predictor.features(table)
        odd = self._predictor.odd_of_table(table) if features.odd else None
        rows = self._tensors(features)
        start = self._tensors(
            self._predictor.features(self._predictor.table([self.baseline(baseline)]))
        )
        with self._turn:
            models = self._ready()
            codes = self._predicted(models, rows)
            if asked is not None:
                codes = torch.full_like(codes, asked)

            def mean(asked: Tensor) -> Attribution:
                parts = [
                    model.attribute(
                        self._task,
                        self._score,
                        rows,
                        start,
                        asked,
                        tolerance=self._tolerance,
                        unit=self._unit,
                        max_steps=self._max_steps,
                        proceed=proceed,
                    )
                    for model in models
                ]
                return _mean(parts, self._predictor.members.counted)

            found = self._of_mean(mean, codes) if self._through_mean else mean(codes)
        explanations = self._explanations(found, codes)
        for row, of_row in (odd or {}).items():
            explanations[row][WARNINGS] = of_row
        return explanations

    def warm_up(self) -> None:
        """Explain one row, so that the first request does not wait for it; raises as `explain`."""
        self.explain(self._predictor.table([self._typical]))

    def baseline(self, changes: Row | None = None) -> Row:
        """The baseline row, with some values changed."""
        return self._typical | (changes or {})

    def _of_mean(self, mean: Callable[[Tensor], Attribution], codes: Tensor) -> Attribution:
        """Explain what a temperature makes of an ensemble's mean, which depends on all classes."""
        count = self._task.outputs
        last = len(self._predictor.signature.target.classes) - 1
        asked = [last] if count == 1 else range(count)
        parts = [mean(torch.full_like(codes, each)) for each in asked]
        end, start = (
            torch.stack([getattr(each, name) for each in parts], 1).double()
            for name in ("score", "baseline")
        )
        moved = torch.stack([each.features for each in parts], 1).double()
        temperature = self._predictor.temperature

        def score(means: Tensor, codes: Tensor) -> Tensor:
            clamped = means.clamp(_LEAST, 1.0)
            clamped = clamped.squeeze(1) if count == 1 else clamped
            return self._task.explained(self._task.tempered(clamped, temperature), codes)

        codes = codes.cpu()
        high, low = score(end, codes), score(start, codes)
        return Attribution(
            high,
            low,
            shares_through(moved, start, end, codes, score),
            self._tolerance * (high - low).abs().clamp(min=self._unit),
            torch.stack([each.steps for each in parts]).sum(0),
        )

    def _ready(self) -> Sequence[Explained]:
        if not self._models:
            self._models = self._predictor.members.explained()
        return self._models

    def _code(self, label: ClassLabel) -> int:
        names = [class_key(each) for each in self._predictor.signature.target.classes]
        if class_key(label) not in names:
            raise RequestError(
                "`label` is no class of the target" if names else "the target has no classes",
                status=422,
                found=label,
                remedy=f"The classes are: {', '.join(names)}" if names else "Leave out `label`",
            )
        return names.index(class_key(label))

    def _predicted(self, models: Sequence[Explained], rows: Vectors) -> Tensor:
        """The class that is predicted for each row; 0 where there are no classes.

        Asked of its own models, since the predictor's are watched for what clients are answered.
        """
        task, temperature = self._predictor.task, self._predictor.temperature
        with torch.no_grad():
            outputs = [scalable(model.outputs(rows), temperature) for model in models]
            each = [task.predict(of_one).cpu() for of_one in outputs]
        mean = _counted(each, self._predictor.members.counted).mean(0)
        if task.rule is not None:  # else a temperature changes no label
            mean = task.tempered(mean, temperature)
        return task.chosen(mean).to(self._predictor.device)

    def _tensors(self, features: Features) -> Vectors:
        device = self._predictor.device
        return (
            torch.from_numpy(features.numeric).to(device),
            torch.from_numpy(features.categorical).to(device),
        )

    def _explanations(self, found: Attribution, codes: Tensor) -> list[Explanation]:
        codes = codes.cpu()
        for number in (found.score, found.baseline, found.features):
            if not number.isfinite().all():
                raise ServeError(
                    "the model's prediction or its gradients are not finite",
                    remedy="Its values overflow on this row or on the baseline: mend the model and"
                    " train it again",
                )
        columns = torch.zeros(len(codes), len(self._names), dtype=torch.float64)
        columns.index_add_(1, self._places, found.features)
        classes = self._predictor.signature.target.classes
        return [
            {
                **({"label": classes[code]} if classes else {}),
                "prediction": score,
                "baseline": baseline,
                "attributions": dict(zip(self._names, shares, strict=True)),
                "delta": delta,
                "tolerance": tolerance,
                "converged": abs(delta) <= tolerance,
                "steps": steps,
            }
            for code, score, baseline, shares, delta, tolerance, steps in zip(
                codes.tolist(),
                found.score.tolist(),
                found.baseline.tolist(),
                columns.tolist(),
                found.delta.tolist(),
                found.tolerance.tolist(),
                found.steps.tolist(),
                strict=True,
            )
        ]


def _mean(parts: Sequence[Attribution], places: Tensor | None) -> Attribution:
    """The explanation of the members' mean is the mean of their explanations, as both are sums."""
    return Attribution(
        _counted([each.score for each in parts], places).mean(0),
        _counted([each.baseline for each in parts], places).mean(0),
        _counted([each.features for each in parts], places).mean(0),
        _counted([each.tolerance for each in parts], places).mean(0),
        torch.stack([each.steps for each in parts]).sum(0),
    )


def _counted(of_members: Sequence[Tensor], places: Tensor | None) -> Tensor:
    """Stacked tensors of the members, each as often as its votes count."""
    stacked = torch.stack(list(of_members))
    return stacked if places is None else stacked.index_select(0, places)
