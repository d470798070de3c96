"""Confirms the winner of a sweep: its best trials are trained again over several seeds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from rayml.errors import SearchError
from rayml.search.cohort.plan import SweepData
from rayml.search.confirm.as_trained import as_trained
from rayml.search.confirm.seed_training import ConfirmPlan, Score, retrain
from rayml.search.confirm.selecting import select_ensemble
from rayml.search.results.candidates import Candidate, candidates, new_seeds, seeds_trained
from rayml.search.results.choice import Measured, choose, interval, middle_seeds
from rayml.search.results.confirmation import (
    Confirmation,
    ConfirmedTrial,
    FailedTrial,
    read_confirmation,
    write_confirmation,
)
from rayml.search.results.leaderboard import Leaderboard
from rayml.search.results.wording import counted


def confirm(
    plan: ConfirmPlan,
    board: Leaderboard,
    data: SweepData,
    *,
    on_progress: Callable[[str], None] | None = None,
) -> Confirmation | None:
    """Train the best trials again and choose the winner, by the first objective.

    Results of seeds that an earlier, interrupted confirmation finished are used again.

    Args:
        plan: of the confirmation.
        board: the sweep's trials, best first.
        data: that they trained on.
        on_progress: called with a line for each trial that is done.

    Returns:
        The record, which also lies in the sweep's folder; None if no trial of the sweep trained
        to its end and keeps the constraints.

    Raises:
        ConfigError: the cluster cannot hold a training.
        SearchError: no candidate trained to its end with every seed.
    """
    if plan.settings.seeds:
        found = candidates(board, plan.trial, plan.settings.top)
        confirmation = _over_seeds(plan, board, data, found, on_progress or _silent)
    else:
        confirmation = as_trained(plan, board)
    if confirmation is None:
        return None
    if plan.settings.ensemble == "greedy":
        selection = select_ensemble(plan, board, confirmation, data, on_progress or _silent)
        confirmation = dataclasses.replace(confirmation, selection=selection)
    confirmation = _with_known_test(plan.sweep, confirmation)
    write_confirmation(plan.sweep, confirmation)
    return confirmation


def _over_seeds(
    plan: ConfirmPlan,
    board: Leaderboard,
    data: SweepData,
    found: Sequence[Candidate],
    say: Callable[[str], None],
) -> Confirmation | None:
    if not found:
        return None
    count = seeds_trained(plan.settings.seeds, data.models)
    seeds = new_seeds(plan.trial, found, count)
    outcomes = {}
    for candidate, scores in retrain(plan, found, seeds, data):
        outcome = _outcome(candidate, scores)
        outcomes[candidate.number] = outcome
        say(_line(outcome, board.metric))
    return _conclude(plan, board, seeds, [outcomes[each.number] for each in found])


def _outcome(candidate: Candidate, scores: list[Score] | str) -> ConfirmedTrial | FailedTrial:
    number, params = candidate.number, candidate.params
    if isinstance(scores, str):
        return FailedTrial(number=number, params=params, reason=scores)
    values = tuple(score.value for score in scores)
    folds = tuple(score.folds for score in scores if score.folds)
    low, high = interval([value for seed in folds for value in seed] or values)
    return ConfirmedTrial(
        number=number,
        params=params,
        parameters=scores[0].parameters,
        steps=sum(score.steps for score in scores),
        seconds=sum(score.seconds for score in scores),
        values=values,
        mean=math.fsum(values) / len(values),
        low=low,
        high=high,
        folds=folds,
    )


def _conclude(
    plan: ConfirmPlan,
    board: Leaderboard,
    seeds: tuple[int, ...],
    outcomes: Sequence[ConfirmedTrial | FailedTrial],
) -> Confirmation:
    trained = [each for each in outcomes if isinstance(each, ConfirmedTrial)]
    failed = [each for each in outcomes if isinstance(each, FailedTrial)]
    if not trained:
        raise SearchError(
            f"none of the best {len(failed)} trials trained to its end with every seed;"
            f" trial {failed[0].number}: {failed[0].reason}",
            remedy="Set confirm=none to take the best trial as the sweep left it",
        )
    measured = [Measured(each.number, each.single, each.parameters, each.steps) for each in trained]
    choice = choose(measured, board.direction)
    winner = next(each for each in trained if each.number == choice.winner)
    (seed,) = middle_seeds(seeds, winner.values, board.direction)
    members = plan.settings.ensemble
    several = min(members, len(seeds)) if isinstance(members, int) else 0
    return Confirmation(
        metric=board.metric,
        direction=board.direction,
        winner=choice.winner,
        reason=choice.reason,
        seeds=seeds,
        candidates=tuple(trained),
        failed=tuple(failed),
        seed=seed,
        ensemble=middle_seeds(seeds, winner.values, board.direction, several)
        if several > 1
        else None,
    )


def _with_known_test(sweep: Path, new: Confirmation) -> Confirmation:
    """With what the same models did on the test split, which is not read again for them."""
    try:
        old = read_confirmation(sweep)
    except SearchError:
        return new  # it is being replaced
    if old is None or _models(old) != _models(new):
        return new
    return dataclasses.replace(new, test=old.test, regions=old.regions)


def _models(confirmation: Confirmation) -> Confirmation:
    """What two confirmations of the same models have in common: not the times of their rows."""
    found = confirmation.selection
    untimed = None if found is None else dataclasses.replace(found, latency_ms=0.0)
    return dataclasses.replace(confirmation, test=None, regions=None, selection=untimed)


def _silent(_line: str) -> None:
    pass


def _line(outcome: ConfirmedTrial | FailedTrial, metric: str) -> str:
    if isinstance(outcome, FailedTrial):
        return f"trial {outcome.number} is not confirmed: {' '.join(outcome.reason.split())}"
    folds = f" of {len(outcome.folds[0])} folds" if outcome.folds else ""
    return (
        f"trial {outcome.number} over {counted(len(outcome.values), 'seed')}{folds}: {metric}"
        f" {outcome.mean:.5g} ({outcome.low:.5g} to {outcome.high:.5g})"
    )
