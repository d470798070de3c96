"""Metrics, vectorised over leading dimensions so that stacked models are measured at once.

Predictions are those of `Task.predict`: [..., rows] probabilities of the positive class,
[..., rows, classes] probabilities, or [..., rows] values in the target's own units. Targets
are class codes or own units, [rows] or with the same leading dimensions. All sums run in
float64. A metric that is undefined for the rows at hand is NaN; each docstring says when.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from rayml.tasks.task import Measure

CALIBRATION_BINS = 15


# ---------------------------------------------------------------- shared by the classifications


def _hit_rate(labels: Tensor, target: Tensor) -> Tensor:
    return (labels == target).double().mean(-1)


def _auroc(score: Tensor, positive: Tensor) -> Tensor:
    """Mann-Whitney U over pairs, with midranks for ties; NaN where one class is absent."""
    score = score.contiguous()
    ordered = score.sort(dim=-1).values
    below = torch.searchsorted(ordered, score)
    through = torch.searchsorted(ordered, score, right=True)
    midrank = (below + through + 1).double() / 2
    positives = positive.sum(-1).double()
    negatives = positive.shape[-1] - positives
    wins = (midrank * positive).sum(-1) - positives * (positives + 1) / 2
    return wins / (positives * negatives)


def _average_precision(score: Tensor, positive: Tensor) -> Tensor:
    """Precision averaged over the positives, each at its own score; NaN where there are none."""
    ordered, order = score.sort(dim=-1, descending=True)
    hits = positive.expand(score.shape).gather(-1, order).cumsum(-1).double()
    ranks = torch.arange(1, score.shape[-1] + 1, device=score.device)
    # Rows of one score stand or fall together: they count where the last of them is reached.
    last = torch.ones_like(ordered, dtype=torch.bool)
    last[..., :-1] = ordered[..., 1:] != ordered[..., :-1]
    reached = torch.where(last, hits, 0.0).cummax(-1).values
    gained = hits - torch.nn.functional.pad(reached[..., :-1], (1, 0))
    return torch.where(last, gained * hits / ranks, 0.0).sum(-1) / hits[..., -1]


def _mean_recall(labels: Tensor, target: Tensor, classes: int) -> Tensor:
    """Recall averaged over the classes that occur."""
    truth = target.expand(labels.shape)
    zeros = torch.zeros((*labels.shape[:-1], classes), dtype=torch.float64, device=labels.device)
    present = zeros.scatter_add(-1, truth, torch.ones_like(truth).double())
    found = zeros.scatter_add(-1, truth, (labels == truth).double())
    return _nan_mean(found / present.clamp(min=1), present > 0)


def _calibration_error(confidence: Tensor, hit: Tensor) -> Tensor:
    """Mean distance of confidence and frequency over equal-width bins, weighted by rows."""
    edges = torch.arange(1, CALIBRATION_BINS, device=confidence.device).double() / CALIBRATION_BINS
    confidence = confidence.double().contiguous()
    bins = torch.bucketize(confidence, edges)
    gaps = confidence.new_zeros((*confidence.shape[:-1], CALIBRATION_BINS))
    gaps = gaps.scatter_add(-1, bins, confidence - hit.double())
    return gaps.abs().sum(-1) / confidence.shape[-1]


def _nan_mean(values: Tensor, defined: Tensor) -> Tensor:
    return torch.where(defined, values, 0.0).sum(-1) / defined.sum(-1)


def _clamped(probability: Tensor) -> Tensor:
    """Keep logarithms finite; the bound is float32's, the precision of the predictions."""
    bound = torch.finfo(torch.float32).eps
    return probability.double().clamp(bound, 1 - bound)


# ---------------------------------------------------------------- binary


def binary_accuracy(prediction: Tensor, target: Tensor) -> Tensor:
    """Share of rows whose class is the likelier one; even odds count as negative."""
    return _hit_rate((prediction > 0.5).long(), target)


def binary_auroc(prediction: Tensor, target: Tensor) -> Tensor:
    """Area under the ROC curve, ties exact; NaN where one class is absent."""
    return _auroc(prediction, target == 1)


def binary_average_precision(prediction: Tensor, target: Tensor) -> Tensor:
    """Area under the precision-recall steps of the positive class, ties exact; else NaN."""
    return _average_precision(prediction, target == 1)


def binary_balanced_accuracy(prediction: Tensor, target: Tensor) -> Tensor:
    """Recall averaged over the classes that occur."""
    return _mean_recall((prediction > 0.5).long(), target, 2)


def binary_log_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean negative log-likelihood, probabilities clamped as scikit-learn does."""
    probability = _clamped(prediction)
    return -torch.where(target == 1, probability.log(), (1 - probability).log()).mean(-1)


def binary_f1(prediction: Tensor, target: Tensor) -> Tensor:
    """F1 of the positive class; 0 where it is neither predicted nor present."""
    labels, truth = prediction > 0.5, target == 1
    both = (labels & truth).sum(-1).double()
    either = (labels.sum(-1) + truth.sum(-1)).double()
    return 2 * both / either.clamp(min=1)


def binary_calibration_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Expected calibration error (Naeini et al. 2015) of the positive class's probability."""
    return _calibration_error(prediction, target == 1)


# ---------------------------------------------------------------- multiclass


def multiclass_accuracy(prediction: Tensor, target: Tensor) -> Tensor:
    """Share of rows whose class is the likeliest one."""
    return _hit_rate(prediction.argmax(-1), target)


def multiclass_auroc(prediction: Tensor, target: Tensor) -> Tensor:
    """One-vs-rest AUROC, averaged over the classes that occur beside others; else NaN."""
    classes = torch.arange(prediction.shape[-1], device=target.device)
    positive = target.unsqueeze(-2) == classes.unsqueeze(-1)
    each = _auroc(prediction.transpose(-1, -2), positive)
    return _nan_mean(each, ~each.isnan())


def multiclass_average_precision(prediction: Tensor, target: Tensor) -> Tensor:
    """One-vs-rest average precision, averaged over the classes that occur."""
    classes = torch.arange(prediction.shape[-1], device=target.device)
    positive = target.unsqueeze(-2) == classes.unsqueeze(-1)
    each = _average_precision(prediction.transpose(-1, -2), positive)
    return _nan_mean(each, ~each.isnan())


def multiclass_balanced_accuracy(prediction: Tensor, target: Tensor) -> Tensor:
    """Recall averaged over the classes that occur."""
    return _mean_recall(prediction.argmax(-1), target, prediction.shape[-1])


def multiclass_log_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean negative log-likelihood, probabilities clamped."""
    index = target.expand(prediction.shape[:-1]).unsqueeze(-1)
    return -_clamped(prediction.gather(-1, index).squeeze(-1)).log().mean(-1)


def multiclass_f1(prediction: Tensor, target: Tensor) -> Tensor:
    """F1 averaged over the classes that are predicted or present."""
    labels = prediction.argmax(-1)
    truth = target.expand(labels.shape)
    zeros = prediction.new_zeros((*labels.shape[:-1], prediction.shape[-1]), dtype=torch.float64)
    either = zeros.scatter_add(-1, labels, torch.ones_like(labels).double())
    either = either.scatter_add(-1, truth, torch.ones_like(labels).double())
    both = zeros.scatter_add(-1, labels, (labels == truth).double())
    return _nan_mean(2 * both / either.clamp(min=1), either > 0)


def multiclass_calibration_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Expected calibration error (Guo et al. 2017) of the likeliest class's probability."""
    confidence, labels = prediction.max(-1)
    return _calibration_error(confidence, labels == target)


# ---------------------------------------------------------------- regression


def rmse(prediction: Tensor, target: Tensor) -> Tensor:
    """Root of the mean squared error, in the target's own units."""
    return (prediction.double() - target.double()).square().mean(-1).sqrt()


def mae(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error, in the target's own units."""
    return (prediction.double() - target.double()).abs().mean(-1)


def r2(prediction: Tensor, target: Tensor) -> Tensor:
    """Share of variance explained; of a constant target 1 if met exactly, else 0, as sklearn."""
    truth = target.double()
    residual = (prediction.double() - truth).square().sum(-1)
    total = (truth - truth.mean(-1, keepdim=True)).square().sum(-1)
    constant = (truth == truth[..., :1]).all(-1)  # its total may be rounding alone
    return torch.where(constant, (residual == 0).double(), 1 - residual / total)


BINARY: Mapping[str, Measure] = {
    "accuracy": binary_accuracy,
    "auroc": binary_auroc,
    "log_loss": binary_log_loss,
    "f1": binary_f1,
    "calibration_error": binary_calibration_error,
    "average_precision": binary_average_precision,
    "balanced_accuracy": binary_balanced_accuracy,
}
MULTICLASS: Mapping[str, Measure] = {
    "accuracy": multiclass_accuracy,
    "auroc": multiclass_auroc,
    "log_loss": multiclass_log_loss,
    "f1": multiclass_f1,
    "calibration_error": multiclass_calibration_error,
    "average_precision": multiclass_average_precision,
    "balanced_accuracy": multiclass_balanced_accuracy,
}
REGRESSION: Mapping[str, Measure] = {"rmse": rmse, "mae": mae, "r2": r2}
