"""From shares in an ensemble's mean probabilities to shares in what is answered of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

_NODES = 64
_CHUNK = 2**20  # numbers on paths at a time, which bounds memory
_NEAR = 1e-9

Map = Callable[[Tensor, Tensor], Tensor]


def shares_through(moved: Tensor, start: Tensor, end: Tensor, codes: Tensor, score: Map) -> Tensor:
    """Share the difference of scores among features by what each moves in the means.

    On the straight path from the baseline's means to the row's each feature moves the means evenly;
    its share is what the score gains by that, the integral of the score's gradient times its
    movement (Aumann & Shapley 1974). With one mean all shares are scaled by the same factor.

    Args:
        moved: what each feature moves in each mean, float64 [rows, means, features].
        start: means of the baseline, [rows, means].
        end: means of the rows, [rows, means].
        codes: what the score is asked for, int64 [rows].
        score: maps means [rows, means] and codes to a number a row.

    Returns:
        Shares, [rows, features], which sum up to the difference of the scores.
    """
    if end.shape[1] == 1:
        weights = _quotients(start, end, codes, score)
    else:
        step = max(1, _CHUNK // (_NODES * end.shape[1]))
        weights = torch.cat(
            [
                _mean_gradients(start[part], end[part], codes[part], score)
                for at in range(0, len(end), step)
                for part in (slice(at, at + step),)
            ]
        )
    return torch.einsum("rmf,rm->rf", moved, weights)


def _quotients(start: Tensor, end: Tensor, codes: Tensor, score: Map) -> Tensor:
    far = end - start
    near = far.abs() < _NEAR
    rise = (score(end, codes) - score(start, codes)).unsqueeze(1)
    return torch.where(near, _gradients(end, codes, score), rise / torch.where(near, 1.0, far))


def _mean_gradients(start: Tensor, end: Tensor, codes: Tensor, score: Map) -> Tensor:
    """Means over the path of the score's gradient, [rows, means]."""
    nodes, parts = np.polynomial.legendre.leggauss(_NODES)
    places = torch.from_numpy((nodes + 1) / 2)
    # Close together at both ends, where a probability of nearly 0 makes the gradient steep.
    at = (1 - torch.cos(math.pi * places)) / 2
    shares = torch.from_numpy(parts / 2) * math.pi / 2 * torch.sin(math.pi * places)
    paths = start[:, None] + at[:, None] * (end - start)[:, None]
    slopes = _gradients(paths.flatten(0, 1), codes.repeat_interleave(_NODES), score)
    return torch.einsum("rnm,n->rm", slopes.reshape(paths.shape), shares)


def _gradients(means: Tensor, codes: Tensor, score: Map) -> Tensor:
    with torch.inference_mode(False), torch.enable_grad():
        means = means.clone().requires_grad_()
        (found,) = torch.autograd.grad(score(means, codes.clone()).sum(), means)
    gradients: Tensor = found
    return gradients.nan_to_num(0.0, 0.0, 0.0)  # of a probability that is 0 or 1 to the last bit
