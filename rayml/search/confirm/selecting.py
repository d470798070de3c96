"""Selects the ensemble of a confirmed sweep, in a worker of the cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import ray
from ray.exceptions import RayError

from rayml.search.cohort.plan import SweepData
from rayml.search.confirm.library import LibraryModel, library, predict_all, score_of
from rayml.search.confirm.seed_training import ConfirmPlan
from rayml.search.confirm.selection import Limits, Selected, select
from rayml.search.results.confirmation import Confirmation, SelectedMember, Selection
from rayml.search.results.leaderboard import Leaderboard
from rayml.train.blame import explain
from rayml.train.build import build_trial_task

_MOST_MODELS = 1000  # that a bundle holds


def select_ensemble(
    plan: ConfirmPlan,
    board: Leaderboard,
    confirmation: Confirmation,
    data: SweepData,
    say: Callable[[str], None],
) -> Selection | None:
    """Select an ensemble among all models of a sweep, and keep its members' weights.

    Args:
        plan: of the confirmation.
        board: the sweep's trials, best first.
        confirmation: of the sweep.
        data: that they trained on.
        say: is called with a line where the winner's own models are served instead.

    Returns:
        None where no ensemble does better than the winner's model alone.
    """
    models, settings = library(board, plan.trial, confirmation), plan.settings
    # Without new seeds the validation rows alone say which model is the best.
    chosen = settings.seeds > 0
    # With folds a model of the library is one a fold.
    members = max(1, min(settings.members, _MOST_MODELS // data.models))
    limits = Limits(members=members, latency=settings.max_latency_ms)
    single, seeds = _winners(models, confirmation)
    work = ray.remote(num_cpus=plan.resources.cpu, num_gpus=plan.resources.gpu)(_select)
    sweep = plan.sweep.resolve()
    try:
        asked = (sweep, ray.put(data), single, seeds, chosen, limits, settings.seconds)
        found = ray.get(work.remote(models, *asked))
    except RayError as error:  # a model may be the user's, and end the worker
        found = f"its worker died: {' '.join(str(error).split())}"
    if isinstance(found, str):
        say(f"no ensemble is selected, the winner's model is served: {found}")
        return None
    selected, metric, latencies = found
    if selected is None:
        say(f"no ensemble of the {len(latencies)} models does better than the winner's model alone")
        return None
    for place in selected.votes:
        models[place].keep(sweep)
    return Selection(
        members=tuple(
            SelectedMember(
                trial=models[place].trial,
                params=models[place].params,
                seed=models[place].seed,
                votes=votes,
            )
            for place, votes in selected.votes.items()
        ),
        metric=metric,
        score=selected.score,
        alone=selected.alone,
        pool=len(latencies),
        latency_ms=sum(latencies[place] for place in selected.votes),
    )


def _winners(models: Sequence[LibraryModel], confirmation: Confirmation) -> tuple[int, list[int]]:
    """Places of the winner's model that is served alone, and of the models of all its seeds."""
    seeds = {
        each.seed: place
        for place, each in enumerate(models)
        if each.trial == confirmation.winner and each.own is None
    }
    return seeds[confirmation.seed], list(seeds.values())


def _select(
    models: Sequence[LibraryModel],
    sweep: Path,
    data: SweepData,
    single: int,
    seeds: Sequence[int],
    chosen: bool,
    limits: Limits,
    seconds: float | None,
) -> tuple[Selected | None, str, Sequence[float]] | str:
    """Select in a worker.

    Returns:
        What was selected, the score's name and the models' latencies; or why a model of the
        library cannot predict.
    """
    task = build_trial_task(models[0].config["task"], data.target)
    try:
        found = predict_all(models, sweep, data, seconds)
        # The winner's own models come first; those that there was no time for are left out.
        known = [each for each in seeds if each < len(found.latencies)]
        selected = select(
            found.predictions,
            found.truth,
            score_of(task),
            task.directions[task.proper_metric],
            latencies=found.latencies,
            single=single,
            chosen_otherwise=chosen,
            given=[known],
            limits=limits,
        )
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        return explain(error)
    return selected, task.proper_metric, found.latencies
