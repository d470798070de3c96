"""From shares in a model's outputs to shares in the score that an explanation is about."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

if TYPE_CHECKING:
    from rayml.tasks.task import Task

Floats = npt.NDArray[np.float64]

_POINTS = 8  # of a piece of a path, a Gauss-Legendre rule
_LEAST_PIECES, _MOST_PIECES = 16, 256
_CHUNK = 2**20  # outputs on paths at a time, which bounds memory


def score_shares(
    moved: Floats, start: Floats, end: Floats, codes: npt.NDArray[Any], task: Task
) -> Floats:
    """Share the difference of scores among features by what each moves in the outputs.

    Outputs are log-odds or standardised values, and the score is a probability or a value in its
    own units. On the straight path from the baseline's outputs to the row's, each feature moves
    the outputs evenly; its share is what the score gains by that, the integral of the score's
    gradient times its movement (Aumann & Shapley 1974). With one output all shares are scaled by
    the same factor, the difference of scores per difference of outputs.

    Args:
        moved: what each feature moves in each output, [rows, outputs, features]; over the features
            it sums up to `end - start`.
        start: outputs of the baseline, [1, outputs].
        end: outputs of the rows, [rows, outputs].
        codes: of the class that is asked for, int64 [rows].
        task: decodes outputs.

    Returns:
        Shares, [rows, features], which sum up to the difference of the scores.
    """
    start = np.broadcast_to(start, end.shape)
    if end.shape[1] == 1:
        weights = _slopes_of_one(start, end, codes, task)
    else:
        # A score has bends of about the width of one log-odd.
        reach = float(np.abs(end - start).max(initial=0.0))
        pieces = min(max(math.ceil(reach), _LEAST_PIECES), _MOST_PIECES)
        rows = max(1, _CHUNK // (pieces * _POINTS * end.shape[1]))
        weights = np.concatenate(
            [
                _mean_gradients(start[part], end[part], codes[part], task, pieces)
                for at in range(0, len(end), rows)
                for part in (slice(at, at + rows),)
            ]
        )
    shares: Floats = np.einsum("rof,ro->rf", moved, weights)
    return shares


def _slopes_of_one(start: Floats, end: Floats, codes: npt.NDArray[Any], task: Task) -> Floats:
    """The mean gradient of one output, which is a quotient of differences."""
    gradients, scores = _gradients(torch.tensor(end), torch.tensor(codes), task)
    _, baselines = _gradients(torch.tensor(start), torch.tensor(codes), task)
    far = end - start
    near = np.abs(far) < 1e-6
    quotients = (scores - baselines).numpy()[:, None] / np.where(near, 1.0, far)
    return np.where(near, gradients.numpy(), quotients)


def _mean_gradients(
    start: Floats, end: Floats, codes: npt.NDArray[Any], task: Task, pieces: int
) -> Floats:
    """Mean over the path of the score's gradient, [rows, outputs]."""
    places, shares = np.polynomial.legendre.leggauss(_POINTS)
    at = ((np.arange(pieces)[:, None] + (places + 1) / 2) / pieces).ravel()
    paths = start[:, None] + at[:, None] * (end - start)[:, None]
    asked = torch.tensor(codes).repeat_interleave(len(at))
    gradients, _ = _gradients(torch.tensor(paths.reshape(-1, end.shape[1])), asked, task)
    weights = np.tile(shares / (2 * pieces), pieces)
    mean: Floats = np.einsum("rpo,p->ro", gradients.numpy().reshape(paths.shape), weights)
    return mean


def _gradients(outputs: Tensor, codes: Tensor, task: Task) -> tuple[Tensor, Tensor]:
    """Gradient of the score, [rows, outputs], and the score, [rows]."""
    with torch.inference_mode(False), torch.enable_grad():
        outputs = outputs.double().clone().requires_grad_()
        scores = task.explained(task.predict(outputs), codes.clone())
        (gradients,) = torch.autograd.grad(scores.sum(), outputs)
    return gradients, scores.detach()
