"""Predictions of a winner for rows that its models did not train on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rayml.data.split.folds import FoldNumbers
from rayml.errors import SearchError
from rayml.search.confirm.library import outputs_by_fold
from rayml.stages.winners.winner import Winner

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from rayml.data.prepare.prepare import PreparedDataset
    from rayml.models.estimators.members import Committee, Member
    from rayml.tasks.task import Task

MOST_ROWS = 50_000
"""Rows that are predicted at most; of more, so many are drawn."""


@dataclass(frozen=True)
class OutOfFold:
    """What a winner with folds predicts for the rows that train and validate, each held out.

    The outputs are those of the served ensemble but for its members that trained on the row: those
    of the row's fold alone are pooled. Calibration reads them as it would read outputs for a
    validation split; at the endpoint all members predict.

    Attributes:
        outputs: as a task decodes them, float32 [rows, outputs] on the CPU; `Task.predict` makes
            predictions of them.
        target: of the rows as `Examples` have it, [rows]: codes of classes, or standardised
            numbers; `Task.truth` makes of it what metrics take.
        folds: the fold that holds each row out, [rows]; a member of the winner with that `fold` did
            not train on the row.
        places: of the rows in the training split of the prepared data, ascending, [rows]; raw
            groups of the rows are at these places of `PreparedDataset.groups`.
    """

    outputs: Tensor
    target: npt.NDArray[np.generic]
    folds: FoldNumbers
    places: npt.NDArray[np.int64]

    def measure(self, task: Task) -> dict[str, float]:
        """`loss` and every metric of the task."""
        import torch

        return task.evaluate(self.outputs, torch.from_numpy(np.array(self.target)))


def out_of_fold(
    winner: Winner, models: Committee, data: PreparedDataset, task: Task
) -> OutOfFold | None:
    """Predict the rows that train and validate by the models that did not train on them.

    The prediction of a row is the mean, by votes, over the trainings that are served (seeds, or the
    entries of a selected ensemble), of each of which the model of the row's fold predicts.

    Args:
        winner: of a sweep.
        models: of the winner, trained.
        data: that it was trained on.
        task: of the winner.

    Returns:
        None if the data have no folds.

    Raises:
        DataError: the prepared data are damaged.
        SearchError: the winner's models are not those of the data's folds.
    """
    import torch

    dealt = data.dealt()
    if dealt is None:
        return None
    trainings = _trainings(winner, models, dealt.count)
    places = np.arange(len(dealt), dtype=np.int64)
    if len(places) > MOST_ROWS:
        chosen = np.random.default_rng(0).choice(len(places), MOST_ROWS, replace=False)
        places = np.sort(chosen).astype(np.int64)
    rows, held = data.examples("train").rows(places), dealt.held[places]
    found = []
    with torch.inference_mode():
        for members, votes in trainings:
            found += [outputs_by_fold(members, rows.features, held)] * votes
        pooled = task.pool(torch.stack(found)) if len(found) > 1 else found[0]
    return OutOfFold(pooled, rows.target, held, places)


def _trainings(winner: Winner, models: Committee, folds: int) -> list[tuple[Sequence[Member], int]]:
    """The models by the training that they are of, a model a fold, with its votes."""
    found = []
    for start in range(0, len(winner.members), folds):
        each = winner.members[start : start + folds]
        if [member.fold for member in each] != list(range(folds)):
            raise SearchError(
                f"the models of trial {each[0].trial} are not those of the {folds} folds of its"
                " data",
                remedy="Restore the prepared data of the sweep, or run the sweep again",
            )
        found.append((models.members[start : start + folds], each[0].votes))
    return found
