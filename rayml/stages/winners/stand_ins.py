"""Chooses the known category that the models of a bundle take an unknown one as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from rayml.models.modules.arrays import as_tensor
from rayml.models.modules.stand_ins import MOST_CATEGORIES, choose_stand_in
from rayml.tasks.task import Task
from rayml.types import Features

if TYPE_CHECKING:
    from rayml.data.prepare.prepare import PreparedDataset
    from rayml.models.estimators.members import Committee

ROWS: Final = 256
"""Training rows whose predictions are compared, at most."""

PREDICTIONS: Final = 4096
"""Of a column at most, so that one of many categories is as quick; of 64 rows at least."""

TRAINED_ROWS: Final = 32
"""So many training rows of rare categories train the code that rare and unknown ones share."""


def find_stand_ins(models: Committee, task: Task, data: PreparedDataset) -> dict[str, str]:
    """Find the known category that an unknown one is taken as, by column.

    Columns whose code of unknown categories is trained are left out, and columns without
    categories.

    Args:
        models: of the bundle, trained.
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
    sample = data.sample("train", ROWS).features

    def predict(numeric: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        features = Features(numeric.numpy(), codes.numpy())
        return task.predict(models.outputs(features)).mean(0)

    numeric, categorical = as_tensor(sample.numeric), as_tensor(sample.categorical)
    found = {}
    for place, column in columns.items():
        codes = [column.code(category) for category in column.categories]
        most = max(64, PREDICTIONS // min(len(codes), MOST_CATEGORIES))
        counts = rows[place][codes].tolist()
        code = choose_stand_in(
            predict,
            numeric[:most],
            categorical[:most],
            column=place,
            codes=codes,
            counts=counts,
        )
        found[column.name] = column.categories[codes.index(code)]
    return found
