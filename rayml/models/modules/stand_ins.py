"""Chooses the known category that stands in for an unknown one.

No training row has the code of an unknown category, so the weights of that code, such as a row of
an embedding, stay as they were initialised, and a prediction with them is arbitrary. The average of
the known categories' vectors does not help: in a network that is not linear its prediction may lie
outside of those of all known categories, and it needs knowledge of how a model uses its codes.
Training the code, by putting it now and then in the place of known ones, costs accuracy, and has
little effect where a category is in a few rows.

So an unknown category is read as the known one whose predictions are nearest to the average over
all known categories, whatever the model.
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
        The code with the least mean squared distance over the rows; of equals the more
        frequent one.
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
