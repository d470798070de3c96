"""Greedy selection of an ensemble from a library of models: a pure policy over predictions.

Caruana, Niculescu-Mizil, Crew and Ksikes 2004, "Ensemble selection from libraries of models": from
an empty ensemble the model is added again and again whose addition, by the mean of predictions,
scores best on validation rows; a model that is added several times counts more. How many additions
are made is cross-validated over the same rows, so that few rows do not choose a large ensemble.

Beside a model that was chosen otherwise, a gain within its own standard error over the folds
selects nothing. Where the rows choose the single model too, it is as uncertain as an ensemble that
errs less: the most additions are made that are no worse than the first alone, and within a standard
error of the best number (`tests/bench/LOG.md`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rayml.types import Direction

if TYPE_CHECKING:
    from torch import Tensor

Score = Callable[["Tensor", "Tensor"], "Tensor"]
"""Measures predictions [models, rows, …] against the truth [rows], a number a model."""

_SEED = 0  # of the rows' order, so that a choice can be made again
_ROUNDING = 1e-6  # sums of equal predictions differ by less, as a share


@dataclass(frozen=True)
class Limits:
    """What a selected ensemble may be.

    Attributes:
        votes: additions at most.
        members: different models at most.
        latency: of all different models together at most, in the unit of their latencies; None
            sets no limit.
        folds: parts of the rows by which the number of additions is cross-validated.
    """

    votes: int = 40
    members: int = 12
    latency: float | None = None
    folds: int = 5


@dataclass(frozen=True)
class Selected:
    """A selected ensemble.

    Attributes:
        votes: by the model's place in the library, in the order in which models were added.
        score: of ensembles so chosen on rows that did not choose them, the mean over the folds.
        alone: of the single model there.
        grown: whether it was selected model by model; else it is one of those that were given.
    """

    votes: dict[int, int]
    score: float
    alone: float
    grown: bool


def select(
    predictions: Tensor,
    truth: Tensor,
    score: Score,
    direction: Direction,
    *,
    latencies: Sequence[float],
    single: int,
    chosen_otherwise: bool = True,
    given: Sequence[Sequence[int]],
    limits: Limits,
) -> Selected | None:
    """Select an ensemble, or none where a single model does as well on rows that did not select it.

    Args:
        predictions: of each model for validation rows, [models, rows, …].
        truth: of the rows, as the score takes it.
        score: best for the true probabilities or means, so that chance decides little.
        direction: which scores are better.
        latencies: of each model.
        single: place of the model that is served otherwise.
        chosen_otherwise: whether other rows or other trainings chose that one, not these rows.
        given: ensembles that need no selection, as places of their models; one beyond the limits
            is left out.
        limits: of the ensemble.

    Returns:
        None too where no model keeps the limits, or the rows are fewer than two a fold.
    """
    fixed = [[single], *(each for each in given if _keeps(each, latencies, limits))]
    sign = 1.0 if direction == "maximize" else -1.0
    measured = _by_fold(predictions, truth, score, sign, fixed, latencies, limits)
    if measured is None:
        return None
    grown, simple = measured
    place = _best(simple)
    theirs, alone = simple[:, place], simple[:, 0]
    count = _best(grown) + 1 if chosen_otherwise else _most(grown)
    ours = grown[:, count - 1]
    if chosen_otherwise:
        better = _ahead(ours, theirs) and _beyond_chance(ours, alone)
    else:
        # The rows chose the single model, which flatters it.
        better = not _beyond_chance(alone, ours)
    if better:
        added = _grow(predictions, truth, score, sign, latencies, limits)[:count]
        if len(set(added)) > 1:
            return Selected(_votes(added), _mean(sign, ours), _mean(sign, alone), grown=True)
    if chosen_otherwise and place and _beyond_chance(theirs, alone):
        votes = dict.fromkeys(fixed[place], 1)
        return Selected(votes, _mean(sign, theirs), _mean(sign, alone), grown=False)
    return None


def _by_fold(
    predictions: Tensor,
    truth: Tensor,
    score: Score,
    sign: float,
    fixed: Sequence[Sequence[int]],
    latencies: Sequence[float],
    limits: Limits,
) -> tuple[Tensor, Tensor] | None:
    """Scores on rows that did not select, more is better.

    Returns:
        By fold those after each addition, [folds, additions], and of the ensembles that are fixed,
        [folds, ensembles]; None where the rows are too few, or no model keeps the limits.
    """
    import torch  # the driver, which plans, does without it

    rows = len(truth)
    if rows < 2 * limits.folds:
        return None
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(_SEED))
    curves, others = [], []
    for fold in range(limits.folds):
        held = torch.zeros(rows, dtype=torch.bool)
        held[order[fold :: limits.folds]] = True
        added = _grow(predictions[:, ~held], truth[~held], score, sign, latencies, limits)
        if not added:
            return None
        curves.append(_curve(predictions[:, held], truth[held], score, added))
        means = torch.stack([predictions[list(each)][:, held].mean(0) for each in fixed])
        others.append(score(means, truth[held]).double())
    shortest = min(map(len, curves))
    grown = torch.stack([each[:shortest] for each in curves])
    return sign * grown, sign * torch.stack(others)


def _grow(
    predictions: Tensor,
    truth: Tensor,
    score: Score,
    sign: float,
    latencies: Sequence[float],
    limits: Limits,
) -> list[int]:
    """The models that are added, one after another."""
    import torch

    added: list[int] = []
    total = torch.zeros_like(predictions[0])
    while len(added) < limits.votes:
        allowed = _allowed(added, latencies, limits)
        if not allowed:
            break
        means = (predictions[allowed] + total) / (len(added) + 1)
        scores = (sign * score(means, truth)).nan_to_num(-math.inf)
        best = allowed[int(scores.argmax())]
        added.append(best)
        total += predictions[best]
    return added


def _allowed(added: Sequence[int], latencies: Sequence[float], limits: Limits) -> list[int]:
    """Models that may be added next; one that is a member already costs nothing more."""
    members = set(added)
    spent = sum(latencies[each] for each in members)
    full = len(members) >= limits.members

    def fits(model: int) -> bool:
        if model in members:
            return True
        return not full and (limits.latency is None or spent + latencies[model] <= limits.latency)

    return [model for model in range(len(latencies)) if fits(model)]


def _curve(predictions: Tensor, truth: Tensor, score: Score, added: Sequence[int]) -> Tensor:
    """The score after each addition."""
    import torch

    total = torch.zeros_like(predictions[0])
    scores = []
    for count, model in enumerate(added, 1):
        total = total + predictions[model]
        scores.append(score((total / count).unsqueeze(0), truth)[0].double())
    return torch.stack(scores)


def _best(scores: Tensor) -> int:
    """The place that is best over the folds, [folds, places]."""
    return int(scores.mean(0).nan_to_num(-math.inf).argmax())


def _most(scores: Tensor) -> int:
    """The most additions that are as good as the best number, and no worse than one, by fold."""
    best = scores[:, [_best(scores)]]
    lost = best - scores
    near = lost.mean(0) <= lost.std(0) / len(scores) ** 0.5
    kept = near & (scores.mean(0) >= scores[:, 0].mean())
    # Sums of equal predictions round: the best number itself stays.
    return max([1 + int(each) for each in kept.nonzero()], default=1 + _best(scores))


def _ahead(ours: Tensor, theirs: Tensor) -> bool:
    return bool(ours.mean() > theirs.mean())


def _beyond_chance(ours: Tensor, alone: Tensor) -> bool:
    """Whether the gain over the single model is more than its standard error over the folds."""
    gains = ours - alone
    noise = gains.std() / len(gains) ** 0.5
    return bool(gains.mean() > noise + _ROUNDING * alone.abs().mean())


def _mean(sign: float, scores: Tensor) -> float:
    return sign * float(scores.mean())


def _votes(added: Sequence[int]) -> dict[int, int]:
    """How often each model was added, without a factor that all have in common."""
    counts = Counter(added)
    common = math.gcd(*counts.values())
    return {model: count // common for model, count in counts.items()}


def _keeps(members: Sequence[int], latencies: Sequence[float], limits: Limits) -> bool:
    spent = sum(latencies[each] for each in members)
    return len(members) <= limits.members and (limits.latency is None or spent <= limits.latency)
