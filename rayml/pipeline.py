"""The flow: from a config to an answering endpoint.

`run` is the whole flow; the other functions are its stages, one for each verb of the command line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rayml.errors import ConfigError, InvalidConfigError
from rayml.stages.checks.machines import cpu_problems, machine_problems, require_machines
from rayml.stages.checks.preflight import (
    component_problems,
    config_problems,
    first_rows_problems,
    resource_problems,
)
from rayml.stages.commands import show
from rayml.stages.context import Context


def run(context: Context) -> None:
    """Prepare, sweep, confirm, register and serve, then ask the endpoint for a prediction.

    On a terminal the endpoint serves until it is interrupted; elsewhere it stops after its
    answer.
    """
    from rayml.stages.auto.auto import with_space
    from rayml.stages.prepare import prepare_data
    from rayml.stages.sweeps.metric import with_metric
    from rayml.stages.sweeps.sizes import with_sizes

    context.require_signing()
    with context.checked_cluster() as checking:
        require_machines(context.config)
        data = prepare_data(context)
        checking.require()
        context, data = with_space(context, data)
        context = with_sizes(with_metric(context, data), data)
        # Imported by now beside Ray's start.
        from rayml.stages.sweep import run_search

        found = run_search(context, data)
        from rayml.stages.confirm import confirm_winner

        confirm_winner(context, found.folder, data)
        from rayml.stages.register import register_winner
        from rayml.stages.serve import (
            say_registered,
            serve_until_signal,
            served_after,
            serving,
            show_prediction,
        )

        registered = register_winner(context, found.folder, data)
        say_registered(context, registered)
        version = served_after(context, registered)
        with serving(context, version) as endpoint:
            show_prediction(context, endpoint, version)
            if sys.stdout.isatty():
                show.line("serving until Ctrl-C")
                serve_until_signal(context)
    show.timings(context.watch, found.timings)


def check(context: Context) -> None:
    """Find every error of the config, before anything is spent.

    Raises:
        InvalidConfigError: all of them.
    """
    if found := config_problems(context.composed):
        # The checks that need Ray need a config that composes.
        raise InvalidConfigError([*found, *component_problems(context.composed.plain)])
    with context.checked_cluster() as checking:
        # Reading rows needs a CPU, and the files on every machine.
        machines = cpu_problems() or machine_problems(context.config)
        problems = [*machines, *resource_problems(context.config), *checking.problems()]
        if not machines:
            problems += first_rows_problems(context.config, context.composed.plain)
    if problems:
        raise InvalidConfigError(problems)
    show.line("the config is sound")


def prepare(context: Context) -> None:
    """Fit the preprocessing and store the prepared dataset."""
    from rayml.stages.prepare import prepare_data

    with context.cluster():
        require_machines(context.config)
        prepare_data(context)


def sweep(context: Context) -> None:
    """Search the space, or continue a sweep that did not end, and confirm the winner."""
    from rayml.stages.auto.auto import with_space
    from rayml.stages.prepare import prepare_data
    from rayml.stages.sweeps.metric import with_metric
    from rayml.stages.sweeps.sizes import with_sizes

    if context.resumed is not None:
        from rayml.stages.sweep import show_finished

        if show_finished(context):
            return
    with context.checked_cluster() as checking:
        require_machines(context.config)
        if context.resumed is None:
            data = prepare_data(context)
        else:
            from rayml.stages.sweeps.sweep_data import data_of_sweep

            data = data_of_sweep(context, context.resumed)
            if data.reused:
                show.prepared(data)
        checking.require()
        context, data = with_space(context, data)
        context = with_sizes(with_metric(context, data), data)
        # Imported by now beside Ray's start.
        from rayml.stages.sweep import run_search

        found = run_search(context, data)
        from rayml.stages.confirm import confirm_winner

        confirm_winner(context, found.folder, data)
    show.timings(context.watch, found.timings)


def confirm(context: Context, name: str | None) -> None:
    """Confirm the winner of a sweep, the latest one by default; finished seeds are kept."""
    from rayml.stages.confirm import confirm_winner
    from rayml.stages.sweeps.sweep_data import data_of_sweep

    context, folder = _of_sweep(context, name)
    with context.cluster():
        confirm_winner(context, folder, data_of_sweep(context, folder))


def report(context: Context, name: str | None) -> None:
    """Print the leaderboard of a sweep, the latest one by default; write its page and tables."""
    from rayml.search.report.page import PAGE, write_page
    from rayml.search.report.tables import FOLDER

    _, folder = _of_sweep(context, name)
    show.leaderboard(write_page(folder).board, limit=20)
    show.line(f"wrote {folder / FOLDER / PAGE}")


def register(context: Context, name: str | None) -> None:
    """Make the winner of a sweep, the latest one by default, a version in the registry."""
    from rayml.stages.register import register_winner
    from rayml.stages.sweeps.sweep_data import data_of_sweep

    context, folder = _of_sweep(context, name)
    register_winner(context, folder, data_of_sweep(context, folder))


def _of_sweep(context: Context, name: str | None) -> tuple[Context, Path]:
    """The context with a sweep's model name, and its folder; prints a name that is not given."""
    from rayml.stages.commands.sweep_folder import find_sweep

    folder = find_sweep(context.config.paths.sweeps, name)
    if name is None:
        show.line(f"the latest sweep is {folder.name}")
    return context.named_as(folder), folder


def promote(context: Context, version: str | None) -> None:
    """Make a version champion, the latest one by default; waits until every replica answers so."""
    from rayml.stages.release import promote_version

    promote_version(context, version or "latest")


def rollback(context: Context) -> None:
    """Make the previous version champion again; waits until every replica answers so."""
    from rayml.stages.release import roll_back

    roll_back(context)


def release(context: Context, action: str | None) -> None:
    """Show the release of a model, or change what runs beside its champion."""
    from rayml.stages.release import change_beside, show_status

    if action in {None, "status"}:
        show_status(context)
    elif action in {"canary", "shadow"}:
        change_beside(context, action)
    else:
        raise ConfigError(
            f"`rayml release` has no action {action!r}", remedy="Use status, canary or shadow"
        )


def serve(context: Context, version: str | None) -> None:
    """Serve a version, the champion by default, until SIGINT or SIGTERM."""
    from rayml.stages.serve import Ending, require_ports, serve_until_signal, serving

    require_ports(context)
    with context.cluster():
        ending = Ending()
        with serving(context, version or context.config.serve.version, ending):
            serve_until_signal(context, ending)


def status(context: Context) -> None:  # noqa: ARG001 (each verb takes it)
    """List the endpoints that run on this machine."""
    from rayml.stages.endpoints import show_endpoints

    show_endpoints()


def down(context: Context, port: str | None) -> None:  # noqa: ARG001 (each verb takes it)
    """End an endpoint that runs on this machine, the only one by default."""
    from rayml.stages.endpoints import end_endpoint

    end_endpoint(port)


def key(context: Context, holder: str | None) -> None:
    """Make an API key, and print it once."""
    from rayml.stages.key import make_key

    make_key(context, holder)


def keypair(context: Context) -> None:
    """Make the key files that sign bundles and verify their signatures."""
    from rayml.stages.keypair import write_key_pair

    write_key_pair(context)


def predict(context: Context, file: str | None) -> None:
    """Predict the rows of a file without a server; prints one JSON object a row."""
    from rayml.stages.predict import predict_file, served_bundle

    if file is None:
        raise ConfigError(
            "`rayml predict` names no file of rows",
            remedy="Use `rayml predict FILE`, of CSV, Parquet, Arrow or JSON",
        )
    bundle = served_bundle(context.config)
    settings = context.config.serve
    answers = predict_file(
        bundle,
        Path(file),
        batch_invariant=settings.batch_invariant,
        unknown=settings.unknown,
        interval=settings.interval,
        note=show.aside,
        trust=context.trust,
    )
    for answer in answers:
        sys.stdout.write(json.dumps(answer) + "\n")


def explain(context: Context, file: str | None) -> None:
    """Explain the predictions for the rows of a file; prints one JSON object a row."""
    from rayml.stages.predict import explain_file, served_bundle

    if file is None:
        raise ConfigError(
            "`rayml explain` names no file of rows",
            remedy="Use `rayml explain FILE`, of CSV, Parquet, Arrow or JSON",
        )
    bundle = served_bundle(context.config)
    for explanation in explain_file(
        bundle,
        Path(file),
        tolerance=context.config.serve.explain_tolerance,
        max_steps=context.config.serve.max_explain_steps,
        unknown=context.config.serve.unknown,
        note=show.aside,
        trust=context.trust,
    ):
        sys.stdout.write(json.dumps(explanation) + "\n")
