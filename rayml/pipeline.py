"""The flow: from a config to an answering endpoint.

`run` is all of it; the other public functions are its stages, one for each verb of the command
line.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rayml import preflight, show
from rayml.client import ask
from rayml.config.build import build
from rayml.config.compose import read_composed
from rayml.config.schema import Config
from rayml.context import Context
from rayml.errors import ConfigError, InvalidConfigError, ServeError
from rayml.registry.store import CHAMPION, Registry

if TYPE_CHECKING:
    from rayml.data.prepare import PreparedDataset
    from rayml.search.plan import SweepData, SweepPlan
    from rayml.serve.endpoint import Endpoint

_CONFIG = "config.yaml"
_DATA = "data.json"
# Of Ray's object store: the rest is for what Ray Data and the study put there.
_STORE_SHARE = 0.3


def run(context: Context) -> None:
    """Prepare, sweep, register and serve, then ask the endpoint for a prediction.

    On a terminal the endpoint serves until it is interrupted; elsewhere it stops after its
    answer.
    """
    with context.checked_cluster():
        data = _prepare(context)
        sweep_folder, seconds = _sweep(context, data)
        version = _register(context, sweep_folder, data)
        with _serving(context, version) as endpoint:
            _show_prediction(context, endpoint, version)
            if sys.stdout.isatty():
                show.line("serving until Ctrl-C")
                _wait_for_signal()
    show.timings(context.watch, seconds)


def check(context: Context) -> None:
    """Find every error of the config, before anything is spent.

    Raises:
        InvalidConfigError: all of them.
    """
    if context.composed.problems:
        # What Ray could tell besides needs a config that composes.
        raise InvalidConfigError(preflight.static_problems(context.composed))
    with context.cluster() as static:
        problems = [
            *static,
            *preflight.resource_problems(context.config),
            *preflight.data_problems(context.config),
        ]
        if not problems:
            data = _prepare(context)
            problems += preflight.training_problems(context.composed.plain, data)
    if problems:
        raise InvalidConfigError(problems)
    show.line("the config is sound")


def prepare(context: Context) -> None:
    """Fit the preprocessing and store the prepared dataset."""
    with context.checked_cluster():
        _prepare(context)


def sweep(context: Context) -> None:
    """Search the space for the best trial."""
    with context.checked_cluster():
        _, seconds = _sweep(context, _prepare(context))
    show.timings(context.watch, seconds)


def report(context: Context, name: str | None) -> None:
    """Print the leaderboard of a sweep, the latest one by default, and write its tables."""
    from rayml.search.report import write_report

    folder = _find_sweep(context.config, name)
    show.leaderboard(write_report(folder), limit=20)
    show.line(f"wrote {folder / 'report'}")


def register(context: Context, name: str | None) -> None:
    """Make the best trial of a sweep, the latest one by default, a version in the registry."""
    from rayml.data.prepare import open_prepared

    folder = _find_sweep(context.config, name)
    data = json.loads((folder / _DATA).read_text(encoding="utf-8"))
    _register(context, folder, open_prepared(Path(data["path"])))


def promote(context: Context, version: str | None) -> None:
    """Point the alias `champion` at a version, the latest one by default."""
    config = context.config
    registry = Registry(Path(config.paths.registry))
    number = int(registry.resolve(config.name, version or "latest").name)
    current = registry.aliases(config.name).get(CHAMPION)
    registry.move_alias(config.name, CHAMPION, number, expected=current)
    show.line(f"{config.name}: {CHAMPION} is version {number}, was {current or 'none'}")


def serve(context: Context, version: str | None) -> None:
    """Serve a version, the champion by default, until SIGINT or SIGTERM."""
    with context.cluster(), _serving(context, version or context.config.serve.version):
        _wait_for_signal()


def predict(context: Context, file: str | None) -> None:
    """Predict the rows of a file without a server; prints one JSON object a row."""
    from rayml.predicting import predict_file

    if file is None:
        raise ConfigError("`rayml predict` takes a file of rows", remedy="CSV, Parquet or JSON")
    config = context.config
    bundle = Registry(Path(config.paths.registry)).resolve(config.name, config.serve.version)
    for answer in predict_file(bundle, Path(file)):
        sys.stdout.write(json.dumps(answer) + "\n")


def _prepare(context: Context) -> PreparedDataset:
    from rayml.data.prepare import prepare as prepare_data

    config, data = context.config, context.config.data
    with context.watch.stage("prepare"):
        prepared = prepare_data(
            build(data.source),
            store=Path(config.paths.prepared),
            target=data.target,
            task=data.task,
            positive=data.positive,
            schema=data.schema,
            split=data.split,
            preprocess=data.preprocess,
            bad_rows=data.bad_rows,
        )
    show.prepared(prepared)
    return prepared


def _sweep(context: Context, data: PreparedDataset) -> tuple[Path, Mapping[str, float]]:
    from rayml.search.progress import choose_view
    from rayml.search.report import write_report
    from rayml.search.sweep import check_sweep, run_sweep

    plan = _plan(context)
    goal = check_sweep(plan, context.config.data.task)
    plan.folder.mkdir(parents=True, exist_ok=True)
    (plan.folder / _CONFIG).write_text(context.composed.yaml(), encoding="utf-8")
    (plan.folder / _DATA).write_text(json.dumps({"path": str(data.path.resolve())}))
    show.line(f"sweep {plan.name}: {plan.trials} trials for the best {goal.metric}")
    before = context.watch.total
    with context.watch.stage("sweep"):
        result = run_sweep(plan, _sweep_data(data), view=choose_view(goal.metric, show.console()))
    show.leaderboard(write_report(plan.folder))
    trained = before + result.timings["first_epoch"]
    return plan.folder, {"first trial": trained, **result.timings}


def _plan(context: Context) -> SweepPlan:
    from rayml.search.plan import SweepPlan
    from rayml.search.space import Space

    config, search = context.config, context.config.search
    model = config.model["_target_"].rpartition(".")[2].lower()
    name = search.name or f"{config.data.name}-{model}-{datetime.now():%Y%m%d-%H%M%S}"
    return SweepPlan(
        name=name,
        sweeps=Path(config.paths.sweeps),
        trial=preflight.trial_config(context.composed.plain),
        space=Space.parse(config.space),
        trials=search.trials,
        seconds=search.seconds,
        concurrency=search.concurrency,
        resources=search.resources,
        max_failures=search.max_failures,
        sampler=search.sampler,
        pruner=search.pruner,
        seed=config.seed,
    )


def _sweep_data(data: PreparedDataset) -> SweepData:
    """The splits in memory, or on disk where Ray's object store has no room for them."""
    import ray

    from rayml.search.plan import SweepData
    from rayml.train.streaming import ParquetSplit

    room = _STORE_SHARE * ray.cluster_resources().get("object_store_memory", 0)
    fits = data.nbytes("train") + data.nbytes("validation") <= room
    train, validation = (
        data.examples(split) if fits else ParquetSplit(data.files(split), data.decode)
        for split in ("train", "validation")
    )
    return SweepData(train, validation, data.preprocessor.shape, data.preprocessor.target)


def _register(context: Context, sweep_folder: Path, data: PreparedDataset) -> int:
    from rayml.registry.champion import promote as apply_policy
    from rayml.winner import bundle_winner

    config = context.config
    registry = Registry(Path(config.paths.registry))
    started = read_composed(sweep_folder / _CONFIG)
    with context.watch.stage("register"), tempfile.TemporaryDirectory() as temporary:
        bundle = Path(temporary) / "bundle"
        info = bundle_winner(
            sweep_folder,
            preflight.trial_config(started.plain),
            data,
            name=config.name,
            folder=bundle,
        )
        version = registry.register(bundle)
        decision = apply_policy(registry, config.name, version, config.registry.promote)
    show.registered(info, version, decision)
    return version


@contextmanager
def _serving(context: Context, version: str | int) -> Iterator[Endpoint]:
    from rayml.serve.endpoint import start

    config = context.config
    bundle = Registry(Path(config.paths.registry)).resolve(config.name, version)
    with context.watch.stage("start endpoint"):
        endpoint = start(bundle, version=bundle.name, settings=config.serve)
    show.line(f"{config.name} version {bundle.name} answers at {endpoint.url}/predict")
    show.line(f"its documentation is at {endpoint.url}/docs")
    try:
        yield endpoint
    finally:
        with context.watch.stage("stop endpoint"):
            endpoint.stop()


def _show_prediction(context: Context, endpoint: Endpoint, version: int) -> None:
    from rayml.registry.bundle import load_bundle

    config = context.config
    bundle = load_bundle(Registry(Path(config.paths.registry)).resolve(config.name, version))
    url, body = f"{endpoint.url}/predict", bundle.signature.example()
    with context.watch.stage("ask"):
        answer = ask(url, body)
    show.request(url, body, answer.status, answer.body)
    if answer.status != 200:
        raise ServeError("an endpoint answers its own example", value=answer.status)


def _find_sweep(config: Config, name: str | None) -> Path:
    """Folder of a sweep by name; None is the latest one."""
    sweeps = Path(config.paths.sweeps)
    found = sorted(sweeps.glob(f"*/{_CONFIG}"), key=lambda path: path.stat().st_mtime)
    names = [path.parent.name for path in found]
    if not names or (name is not None and name not in names):
        raise ConfigError(
            "a sweep is named that there is",
            value=name,
            remedy=f"{sweeps} holds {', '.join(names[-5:]) or 'none'}",
        )
    return sweeps / (name or names[-1])


def _wait_for_signal() -> None:
    """Wait until the process is asked to end."""
    asked = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: asked.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    asked.wait()
    for number, handler in before.items():
        signal.signal(number, handler)
