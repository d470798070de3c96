"""Chooses what unknown categories are taken as by the models of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import torch

from rayml.models.modules.stand_ins import choose_stand_in
from rayml.tasks.task import Task

if TYPE_CHECKING:
    from torch import nn

    from rayml.data.prepare.prepare import PreparedDataset

ROWS: Final = 256
"""Training rows whose predictions are compared."""

TRAINED_ROWS: Final = 32
"""A column whose rare categories fill so many training rows has trained the code of the unknown
ones, which stand for the same: a category that is not worth a code of its own."""


def find_stand_ins(
    models: Sequence[nn.Module], task: Task, data: PreparedDataset
) -> dict[str, str]:
    """Find the known category that an unknown one is taken as, by column.

    Columns whose code of unknown categories is trained are left out, and those without a known one.

    Args:
        models: the members of the bundle, trained; they are put in evaluation mode.
        task: of their outputs.
        data: that they were trained on.
    """
    if not data.preprocessor.categorical:
        return {}
    rows = data.code_counts("train")
    columns = {
        place: column
        for place, column in enumerate(data.preprocessor.categorical)
        if column.categories and rows[place][0] < TRAINED_ROWS
    }
    if not columns:
        return {}
    for model in models:
        model.eval()
    device = next((each.device for each in models[0].parameters()), torch.device("cpu"))
    sample = data.sample("train", ROWS).features
    numeric = torch.from_numpy(sample.numeric).to(device)
    categorical = torch.from_numpy(sample.categorical).to(device)

    def predict(numeric: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        # A model may write into what it is given.
        each = [task.predict(model(numeric.clone(), codes.clone())) for model in models]
        return torch.stack(each).mean(0)

    found = {}
    for place, column in columns.items():
        codes = [column.code(category) for category in column.categories]
        counts = rows[place][codes].tolist()
        code = choose_stand_in(
            predict, numeric, categorical, column=place, codes=codes, counts=counts
        )
        found[column.name] = column.categories[codes.index(code)]
    return found
