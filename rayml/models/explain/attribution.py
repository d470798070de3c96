"""Integrated gradients: how much each feature moves a prediction away from a baseline's."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from rayml.errors import ExplainError
from rayml.models.explain.entrances import Entrances, Vectors
from rayml.tasks.task import Task

Score = Callable[[Tensor, Tensor], Tensor]

# A network of rectifiers bends at hundreds of places of a path: many segments of few points
# meet the tolerance with fewer gradients than few segments of many.
_POINTS = 4  # of a segment, a Gauss-Legendre rule
_FIRST_SEGMENTS = 8
_CHUNK = 512  # segments in one forward and backward pass, which bounds memory


@dataclass(frozen=True)
class Attribution:
    """What moved the scores of some rows.

    Attributes:
        score: of the rows, float64 [rows].
        baseline: score of the baseline, [rows].
        features: share of each feature in the difference, [rows, features].
        tolerance: by how much the shares may miss the difference, [rows].
        steps: gradients that were computed for each row, int64 [rows].
    """

    score: Tensor
    baseline: Tensor
    features: Tensor
    tolerance: Tensor
    steps: Tensor

    @property
    def delta(self) -> Tensor:
        """What the shares lack of the difference, [rows]."""
        return self.score - self.baseline - self.features.sum(1)


class Explained(Protocol):
    """A trained model whose predictions can be explained."""

    def outputs(self, rows: Vectors) -> Tensor:
        """Outputs for numeric features and codes, [rows, outputs]."""

    def attribute(
        self,
        task: Task,
        score: Score,
        rows: Vectors,
        baseline: Vectors,
        codes: Tensor,
        *,
        tolerance: float,
        unit: float,
        max_steps: int,
        proceed: Callable[[], None],
    ) -> Attribution:
        """What moves the scores of rows away from the baseline's; see `attribute`."""


class GradientExplained:
    """A PyTorch module, explained by integrated gradients.

    Args:
        entrances: of the module.
    """

    def __init__(self, entrances: Entrances) -> None:
        self._entrances = entrances

    def outputs(self, rows: Vectors) -> Tensor:
        """See `Explained`."""
        return self._entrances(*self._entrances.vectors(*rows))

    def attribute(
        self,
        task: Task,  # noqa: ARG002 - the score decodes outputs
        score: Score,
        rows: Vectors,
        baseline: Vectors,
        codes: Tensor,
        *,
        tolerance: float,
        unit: float,
        max_steps: int,
        proceed: Callable[[], None],
    ) -> Attribution:
        """See `Explained`."""
        return attribute(
            self._entrances,
            score,
            rows,
            baseline,
            codes,
            tolerance=tolerance,
            unit=unit,
            max_steps=max_steps,
            proceed=proceed,
        )


def require_captum() -> None:
    """Check that Captum is installed.

    Raises:
        ExplainError: it is not.
    """
    if importlib.util.find_spec("captum") is None:
        raise ExplainError(
            "explanations need Captum, which is not installed",
            remedy="Install rayml with the extra `explain`: pip install 'rayml[explain]'",
        )


def attribute(
    entrances: Entrances,
    score: Score,
    rows: Vectors,
    baseline: Vectors,
    target: Tensor,
    *,
    tolerance: float,
    unit: float = 1.0,
    max_steps: int,
    proceed: Callable[[], None] = lambda: None,
) -> Attribution:
    """Integrate gradients from a baseline to rows (Sundararajan, Taly and Yan 2017).

    The path is straight in numeric features and in the vectors that embedding layers make of
    categories. It is integrated by Captum in segments. On each the sum of the attributions must
    be the difference of the scores at its ends (completeness), and segments where they differ most
    are halved until these errors, all counted as positive, add up to the tolerance: steps are
    spent where the model bends, and errors cannot cancel out.

    Args:
        entrances: of the module.
        score: maps outputs [rows, outputs] and targets [rows] to a number a row.
        rows: numeric features and codes.
        baseline: numeric features and codes of one row.
        target: what the score is asked for in each row, [rows].
        tolerance: as a share of `unit`, or of a row's difference where that is more.
        unit: a usual difference of the score.
        max_steps: gradients for a row at most; the errors may then be larger.
        proceed: is called now and then; it may raise to end the work.

    Raises:
        ExplainError: Captum is not installed.
    """
    path = _Path(entrances, score, rows, baseline, target, proceed)
    count = len(target)
    end, start = (path.score_at(torch.arange(count), torch.full((count,), at)) for at in (1.0, 0.0))
    allowed = tolerance * (end - start).abs().clamp(min=unit)
    index = torch.arange(count).repeat_interleave(_FIRST_SEGMENTS)
    low = (torch.arange(_FIRST_SEGMENTS) / _FIRST_SEGMENTS).repeat(count)
    segments = path.integrate(index, low, low + 1 / _FIRST_SEGMENTS)
    steps = torch.full((count,), _FIRST_SEGMENTS * _POINTS)
    while (halve := _to_halve(segments, steps, allowed, max_steps)).any():
        chosen, others = segments.select(halve), segments.select(~halve)
        middle = (chosen.low + chosen.high) / 2
        halves = path.integrate(
            chosen.row.repeat(2),
            torch.cat([chosen.low, middle]),
            torch.cat([middle, chosen.high]),
        )
        steps += _POINTS * torch.bincount(halves.row, minlength=count)
        segments = others.join(halves)
    end, start = (path.score_at(torch.arange(count), torch.full((count,), at)) for at in (1.0, 0.0))
    features = torch.zeros(count, segments.features.shape[1], dtype=torch.float64)
    features.index_add_(0, segments.row, segments.features)
    return Attribution(end, start, features, allowed, steps)


@dataclass(frozen=True)
class _Segments:
    """Parts of the paths of rows, on the CPU."""

    row: Tensor
    low: Tensor
    high: Tensor
    features: Tensor
    error: Tensor

    def select(self, mask: Tensor) -> _Segments:
        return _Segments(*(each[mask] for each in self._parts()))

    def join(self, other: _Segments) -> _Segments:
        pairs = zip(self._parts(), other._parts(), strict=True)
        return _Segments(*map(torch.cat, pairs))

    def _parts(self) -> tuple[Tensor, ...]:
        return self.row, self.low, self.high, self.features, self.error


def _to_halve(segments: _Segments, steps: Tensor, allowed: Tensor, max_steps: int) -> Tensor:
    """Which segments are worth halving, as a mask."""
    rows = len(steps)
    errors = torch.zeros(rows, dtype=torch.float64).index_add_(0, segments.row, segments.error)
    counts = torch.bincount(segments.row, minlength=rows)
    # Those left as they are add up to what is allowed at most, so an open row always has one.
    mask = (errors > allowed)[segments.row]
    mask &= segments.error > (allowed / counts)[segments.row]
    cost = 2 * _POINTS * torch.bincount(segments.row[mask], minlength=rows)
    affordable: Tensor = mask & (steps + cost <= max_steps)[segments.row]
    return affordable


class _Path:
    """The straight lines from the baseline to the rows."""

    def __init__(
        self,
        entrances: Entrances,
        score: Score,
        rows: Vectors,
        baseline: Vectors,
        target: Tensor,
        proceed: Callable[[], None],
    ) -> None:
        require_captum()
        from captum.attr import IntegratedGradients

        self._entrances = entrances
        self._score = score
        self._start = entrances.vectors(*baseline)
        ends = entrances.vectors(*rows)
        self._way = tuple(end - start for end, start in zip(ends, self._start, strict=True))
        self._target = target
        self._proceed = proceed
        self._method = IntegratedGradients(self._forward)
        # Captum's own splits the outputs into one tensor a row, and refuses unused inputs.
        self._method.gradient_func = _gradients

    def integrate(self, row: Tensor, low: Tensor, high: Tensor) -> _Segments:
        """Integrate along segments of the paths of some rows."""
        parts = [torch.split(each, _CHUNK) for each in (row, low, high)]
        done = [self._chunk(*each) for each in zip(*parts, strict=True)]
        features, error = (torch.cat(each).cpu() for each in zip(*done, strict=True))
        return _Segments(row, low, high, features, error)

    def score_at(self, row: Tensor, at: Tensor) -> Tensor:
        """Scores, float64, at places between 0, the baseline, and 1, the row."""
        with torch.no_grad():
            scores = self._forward(*self._points(row, at), self._target[row]).double()
        return scores.cpu()

    def _chunk(self, row: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        self._proceed()
        attributions = self._method.attribute(
            self._points(row, high),
            baselines=self._points(row, low),
            additional_forward_args=(self._target[row],),
            n_steps=_POINTS,
            method="gausslegendre",
        )
        features = self._entrances.by_feature(attributions).cpu()
        difference = self.score_at(row, high) - self.score_at(row, low)
        return features, (difference - features.sum(1)).abs()

    def _points(self, row: Tensor, at: Tensor) -> Vectors:
        points = []
        for start, way in zip(self._start, self._way, strict=True):
            share = at.to(way).view(-1, *[1] * (way.dim() - 1))
            points.append(start + share * way[row])
        return tuple(points)

    def _forward(self, *inputs: Tensor) -> Tensor:
        *vectors, target = inputs
        return self._score(self._entrances(*vectors), target)


def _gradients(
    forward_fn: Callable[..., Tensor],
    inputs: Vectors,
    target_ind: Any = None,  # noqa: ARG001 - Captum passes it
    additional_forward_args: tuple[Any, ...] = (),
) -> Vectors:
    with torch.enable_grad():
        scores = forward_fn(*inputs, *additional_forward_args)
        slopes = torch.autograd.grad(
            scores.sum(), inputs, allow_unused=True, materialize_grads=True
        )
    return tuple(slopes)
