"""Serves a registered version, and asks it for a prediction."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rayml.errors import ServeError
from rayml.registry.bundle import load_bundle
from rayml.registry.store import Registry
from rayml.serve.endpoint import Endpoint, start
from rayml.stages import show
from rayml.stages.client import ask
from rayml.stages.context import Context


@contextmanager
def serving(context: Context, version: str | int) -> Iterator[Endpoint]:
    """An endpoint that answers with a version, an alias or `latest`, while the context lasts."""
    settings = context.config.serve
    bundle = _bundle(context, version)
    with context.watch.stage("start endpoint"):
        endpoint = start(bundle, version=bundle.name, settings=settings)
    show.line(f"{context.config.name} version {bundle.name} answers at {endpoint.url}/predict")
    show.line(f"its documentation is at {endpoint.url}/docs")
    try:
        yield endpoint
    finally:
        with context.watch.stage("stop endpoint"):
            endpoint.stop()


def show_prediction(context: Context, endpoint: Endpoint, version: int) -> None:
    """Send a request over HTTP and show it with its answer.

    Raises:
        ServeError: the endpoint does not answer its own example.
    """
    bundle = load_bundle(_bundle(context, version))
    url, body = f"{endpoint.url}/predict", bundle.signature.example()
    with context.watch.stage("ask"):
        answer = ask(url, body, key=endpoint.key)
    show.request(url, body, answer.status, answer.body)
    if answer.status != 200:
        raise ServeError("an endpoint answers its own example", value=answer.status)


def wait_for_signal() -> None:
    """Wait until the process is asked to end, by SIGINT or SIGTERM."""
    asked = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: asked.set()) for number in numbers}
    asked.wait()
    for number, handler in before.items():
        signal.signal(number, handler)


def _bundle(context: Context, version: str | int) -> Path:
    config = context.config
    return Registry(Path(config.paths.registry)).resolve(config.name, version)
