"""Confirms the winner of a sweep, as the config asks."""

from __future__ import annotations

from pathlib import Path

from rayml.config.stored import require_trusted_params
from rayml.data.prepare.prepare import PreparedDataset
from rayml.search.confirm.confirm import confirm
from rayml.search.confirm.seed_training import ConfirmPlan
from rayml.search.results.candidates import candidates, seeds_trained
from rayml.search.results.confirmation import forget_confirmation
from rayml.search.results.leaderboard import read_leaderboard
from rayml.stages.checks.preflight import trial_config
from rayml.stages.commands import show
from rayml.stages.commands.sweep_folder import config_of_sweep
from rayml.stages.context import Context
from rayml.stages.sweep import say_finished, sweep_data


def confirm_winner(context: Context, sweep: Path, data: PreparedDataset) -> None:
    """Train the best trials of a sweep again over several seeds, and choose the winner.

    If the config confirms nothing, or no trial can be confirmed, the result of an earlier
    confirmation is removed: the sweep may have continued since.
    """
    settings, search = context.config.confirm, context.config.search
    if not settings.top:
        forget_confirmation(sweep)
        return
    stored = config_of_sweep(sweep).trusted(context.trust)
    if stored.typed().search.population is not None:
        forget_confirmation(sweep)
        show.line("the winner is not confirmed: values of a population change during training")
        return
    plan = ConfirmPlan(
        sweep=sweep,
        trial=trial_config(stored.plain),
        settings=settings,
        resources=search.resources,
        max_failures=search.max_failures,
    )
    board = read_leaderboard(sweep)
    for row in board.rows:
        require_trusted_params(row.params, context.trust)
    count = len(candidates(board, plan.trial, settings.top))
    if settings.seeds and not count:
        forget_confirmation(sweep)
        show.line("no trial is confirmed: none trained to its end within the constraints")
        return
    models = data.folds or 1
    seeds = seeds_trained(settings.seeds, models)
    show.line(announced(count, sweep.name, seeds, models))
    go_on = context.command("confirm", sweep.name, about=("confirm",))
    context.so_far.say(f"sweep {sweep.name} is finished, not confirmed; continue with {go_on}")
    with context.watch.stage("confirm"):
        found = confirm(plan, board, sweep_data(data), on_progress=show.line)
    if found is None:
        forget_confirmation(sweep)
        show.line("no trial is confirmed: none has a value within the constraints")
    else:
        show.confirmed(found)
    say_finished(context, sweep.name)


def announced(count: int, sweep: str, seeds: int, folds: int = 1) -> str:
    """The line that says which trials are confirmed over how many seeds."""
    if not seeds:
        return f"sweep {sweep}: selecting among the models of its trials"
    over = "1 seed" if seeds == 1 else f"{seeds} seeds"
    over += f" of {folds} folds" if folds > 1 else ""
    if count == 1:
        return f"sweep {sweep}: confirming the best trial over {over}"
    return f"sweep {sweep}: confirming the best {count} trials over {over} each"
