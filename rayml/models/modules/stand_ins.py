"""The known category that an unknown one is taken as.

No training row has the code of a category that training never saw, so whatever a model has for
that code, such as the row of an embedding, stays as it was initialised, and what it predicts is
arbitrary. The average of the known categories' vectors is no remedy: through a network that is not
linear its prediction may lie outside of all those of the known ones, and it can only be written
where one knows how a model uses its codes. To train the code, by putting it in the place of known
ones now and then, costs accuracy, and says little where a category is seen in a few rows.

So an unknown category is taken as a known one, whatever the model: as the one whose predictions are
nearest to the average of those for all known ones. On each row its prediction is one of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

Predict = Callable[[Tensor, Tensor], Tensor]
"""Predictions, rows first, of float32 [rows, numeric columns] and int64 codes [rows, columns]."""

MOST_CATEGORIES: Final = 64
"""Categories that are compared, the frequent first; each costs a pass over the rows."""


@torch.inference_mode()
def choose_stand_in(
    predict: Predict,
    numeric: Tensor,
    categorical: Tensor,
    *,
    column: int,
    codes: Sequence[int],
    counts: Sequence[int],
) -> int:
    """Choose the category whose predictions are nearest to the average of those for all.

    Args:
        predict: of the model, or the mean of an ensemble's.
        numeric: of some training rows.
        categorical: of the same rows.
        column: place of the column among the categorical ones.
        codes: of the known categories, the frequent first; at least one.
        counts: training rows of each.

    Returns:
        The code with the least mean squared distance over the rows; of equals the frequent one.
    """
    chosen = codes[:MOST_CATEGORIES]
    predictions = []
    for code in chosen:
        changed = categorical.clone()
        changed[:, column] = code
        predictions.append(_rows(predict(numeric, changed)))
    each = torch.stack(predictions)
    shares = torch.tensor(counts[: len(chosen)], dtype=torch.float64)
    average = (each * (shares / shares.sum()).view(-1, 1, 1)).sum(0)
    return chosen[int((each - average).square().mean((1, 2)).argmin())]


def _rows(predictions: Tensor) -> Tensor:
    """[rows, values] in float64, on the CPU."""
    return predictions.double().cpu().reshape(len(predictions), -1)
