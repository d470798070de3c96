"""The confirmation of a sweep whose models are taken as they were trained in it."""

from __future__ import annotations

from rayml.errors import SearchError
from rayml.search.confirm.library import LibraryModel, own_models
from rayml.search.confirm.seed_training import ConfirmPlan
from rayml.search.results.choice import interval
from rayml.search.results.confirmation import Confirmation, ConfirmedTrial
from rayml.search.results.leaderboard import Leaderboard
from rayml.train.folds.parts import fold_values


def as_trained(plan: ConfirmPlan, board: Leaderboard) -> Confirmation | None:
    """Make the best trial the winner, with its own model, which is kept beside the seeds.

    Args:
        plan: of the confirmation.
        board: the sweep's trials, best first.

    Returns:
        None where no trial has a value within the constraints.

    Raises:
        SearchError: the weights of all trials are gone.
    """
    best = _first_kept(plan, board)
    if best is None:
        return None
    return Confirmation(
        metric=board.metric,
        direction=board.direction,
        winner=best.trial,
        reason=f"trial {best.trial} is the best of the sweep, on the one seed that it trained with",
        seeds=(best.seed,),
        candidates=(_trial(best, plan, board.metric),),
        failed=(),
        seed=best.seed,
    )


def _first_kept(plan: ConfirmPlan, board: Leaderboard) -> LibraryModel | None:
    """The best of the models whose weights are there, kept beside the seeds."""
    lost: SearchError | None = None
    for each in own_models(board, plan.trial, most=len(board.rows)):
        try:
            each.keep(plan.sweep)
        except SearchError as error:
            lost = lost or error
        else:
            return each
    if lost is not None:
        raise lost
    return None


def _trial(best: LibraryModel, plan: ConfirmPlan, metric: str) -> ConfirmedTrial:
    assert best.own is not None
    folds = tuple(fold_values(metric, best.own.metrics))
    low, high = interval(folds or (best.own.value,))
    return ConfirmedTrial(
        number=best.trial,
        params=best.params,
        parameters=best.result(plan.sweep).parameters,
        steps=0,
        seconds=0.0,
        values=(best.own.value,),
        mean=best.own.value,
        low=low,
        high=high,
        folds=(folds,) if folds else (),
    )
