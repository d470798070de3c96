"""Serves a registered version, and asks it for a prediction."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

from rayml.errors import RegistryError, ServeError
from rayml.interrupts import ends_already
from rayml.registry.bundle import load_bundle
from rayml.registry.published import published
from rayml.registry.store import CHAMPION, Registry
from rayml.serve.endpoint import Endpoint, one_machine, start
from rayml.serve.followed import shown
from rayml.serve.watch import Watch
from rayml.serve_settings import ServeSettings
from rayml.stages import show
from rayml.stages.client import ask
from rayml.stages.context import Context
from rayml.stages.places import shown_files, with_places
from rayml.stages.release import start_beside


@contextmanager
def serving(context: Context, version: str | int) -> Iterator[Endpoint]:
    """An endpoint that answers with a version, an alias or `latest`, while the context lasts.

    One that answers with the champion follows the release from then on.
    """
    settings = with_places(context.config)
    bundle = _bundle(context, version)
    follows = version == CHAMPION
    if follows:
        start_beside(context)
    with shown(shown_files(settings)):
        yield from _answering(context, bundle, settings, follows=follows)


def _answering(
    context: Context, bundle: Path, settings: ServeSettings, *, follows: bool
) -> Iterator[Endpoint]:
    with context.watch.stage("start endpoint"):
        endpoint = start(
            bundle, version=bundle.name, settings=settings, follows=follows, trust=context.trust
        )
    show.line(f"{context.config.name} version {bundle.name} answers at {endpoint.url}/predict")
    show.line(f"its documentation is at {endpoint.url}/docs")
    if endpoint.grpc_address is not None:
        show.line(f"it answers the Open Inference Protocol over gRPC at {endpoint.grpc_address}")
    if len(ray.nodes()) > 1 and one_machine(settings):
        show.line("its replicas run on this machine alone, whose loopback address they listen on")
    try:
        yield endpoint
    finally:
        with context.watch.stage("stop endpoint"):
            endpoint.stop()


def served_after(context: Context, version: int) -> str | int:
    """What is served once a version is registered: the champion, whichever that is.

    A version that was not promoted answers itself where there is no champion, and nothing follows
    it. A line says what is not as expected.
    """
    champion = _registry(context).release(context.config.name).champion
    if champion is None:
        show.line(
            f"there is no champion: version {version} is served to be looked at, and follows no"
            " release"
        )
        return version
    if champion != version:
        show.line(
            f"champion version {champion} is served; `rayml serve {version}` serves the new version"
        )
    return CHAMPION


def say_registered(context: Context, version: int) -> None:
    """Note that a version waits to be served."""
    champion = _registry(context).release(context.config.name).champion == version
    words = () if champion else (str(version),)
    go_on = context.command("serve", *words, about=("data", "name", "serve", "cluster"))
    state = "registered and champion" if champion else "registered"
    name = context.config.name
    context.so_far.say(f"version {version} of {name} is {state}; serve it with {go_on}")


def show_prediction(context: Context, endpoint: Endpoint, version: str | int) -> None:
    """Send a request over HTTP and show it with its answer.

    Raises:
        ServeError: the endpoint does not answer its own example.
    """
    bundle = load_bundle(_bundle(context, version), context.trust)
    url, body = f"{endpoint.url}/predict", published(bundle.signature).example()
    with context.watch.stage("ask"):
        answer = ask(url, body, key=endpoint.key)
    show.request(url, body, answer.status, answer.body)
    if answer.status != 200:
        raise ServeError("an endpoint answers its own example", value=answer.status)


def serve_until_signal(context: Context, *, period_s: float = 1.0) -> None:
    """Watch the canary, if there is one, until SIGINT or SIGTERM.

    Args:
        context: of the endpoint that answers.
        period_s: seconds between two looks at the counters.
    """
    asked = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: asked.set()) for number in numbers}
    watch = Watch(_registry(context), context.config.name)
    said = ""
    while not asked.wait(period_s):
        try:
            verdict = watch.look()
        except (RegistryError, OSError) as error:  # none of it ends an endpoint that answers
            if str(error) != said:
                show.line(said := str(error))
            continue
        if verdict is not None and verdict.outcome != "go on":
            show.line(f"the canary of {context.config.name}: {verdict.outcome}: {verdict.reason}")
    ends_already()
    for number, handler in before.items():
        signal.signal(number, handler)


def _registry(context: Context) -> Registry:
    return Registry(Path(context.config.paths.registry), context.trust)


def _bundle(context: Context, version: str | int) -> Path:
    return _registry(context).resolve(context.config.name, version)
