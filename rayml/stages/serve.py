"""Serves a registered version, and sends it its own example."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType

from rayml.errors import RegistryError, ServeError
from rayml.interrupts import ends_already
from rayml.registry.bundle.bundle import load_bundle
from rayml.registry.bundle.published import published
from rayml.registry.store import CHAMPION, Registry
from rayml.serve.endpoint import Endpoint, attach, on_one_of_several, start
from rayml.serve.ingress.ports import require_free
from rayml.serve.observe.followed import shown
from rayml.serve.release.canary_watch import CanaryWatch
from rayml.serve.supervise.supervised import supervision
from rayml.stages.commands import show
from rayml.stages.commands.client import ask
from rayml.stages.commands.places import shown_files, with_places
from rayml.stages.context import Context
from rayml.stages.release import start_beside

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Ending:
    """Handles SIGINT and SIGTERM: as before until the endpoint answers, then as a wish to end."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.answers = False
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number in _SIGNALS:
            signal.signal(number, self._take)

    def _take(self, number: int, frame: FrameType | None) -> None:
        before = self._before[signal.Signals(number)]
        if self.answers:
            self.asked.set()
        elif callable(before):
            before(number, frame)

    def release(self) -> None:
        """Restore the handlers from before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


def require_ports(context: Context) -> None:
    """Check that the ports of a new endpoint are free, before Ray is started.

    Raises:
        ServeError: the host is not an address, or a port is in use.
    """
    supervisor = supervision()
    # A driver that replaces a killed one finds its own endpoint at the ports.
    if supervisor is None or supervisor.remembered is None:
        require_free(context.config.serve)


@contextmanager
def serving(
    context: Context, version: str | int, ending: Ending | None = None
) -> Iterator[Endpoint]:
    """An endpoint that answers with a version, an alias or `latest`, while the context lasts.

    One that answers with the champion follows the release from then on.

    Args:
        context: names the model.
        version: of it.
        ending: handles signals otherwise once the endpoint answers.
    """
    with shown(shown_files(with_places(context.config))):
        yield from _answering(context, version, ending)


def _answering(context: Context, version: str | int, ending: Ending | None) -> Iterator[Endpoint]:
    with context.watch.stage("start endpoint"):
        endpoint = _attached(context) or _started(context, version)
    if ending is not None:
        ending.answers = True
    show.line(f"documentation: {endpoint.url}/docs")
    if endpoint.grpc_address is not None:
        show.line(f"Open Inference Protocol over gRPC: {endpoint.grpc_address}")
    if on_one_of_several(context.config.serve):
        show.line("all replicas run on this machine, since they listen on its loopback address")
    try:
        yield endpoint
    finally:
        with context.watch.stage("stop endpoint"):
            endpoint.stop()
        if (supervisor := supervision()) is not None:
            supervisor.remember(None)


def _started(context: Context, version: str | int) -> Endpoint:
    """A new endpoint; the supervisor remembers it before it is deployed."""
    settings, supervisor = with_places(context.config), supervision()
    if settings.port == 0 and supervisor is not None and supervisor.remembered is not None:
        # Clients know the port of the endpoint before.
        settings = replace(settings, port=supervisor.remembered["port"])
    bundle = _bundle(context, version)
    follows = version == CHAMPION
    if follows:
        start_beside(context)
    show.line(f"loading version {bundle.name} of {context.config.name}")

    def announce(endpoint: Endpoint, *, answers: bool = False) -> None:
        if supervisor is not None:
            remembered = {**endpoint.to_plain(), "version": bundle.name}
            supervisor.remember(remembered, answers=answers)
        if not answers:
            show.line(f"waiting for {_replicas(settings.replicas.min)}")

    endpoint = start(
        bundle,
        version=bundle.name,
        settings=settings,
        follows=follows,
        trust=context.trust,
        owner=None if supervisor is None else supervisor.holder,
        announce=announce,
    )
    announce(endpoint, answers=True)
    show.line(f"{context.config.name} version {bundle.name} answers at {endpoint.url}/predict")
    return endpoint


def _attached(context: Context) -> Endpoint | None:
    """The endpoint of a driver that was killed; None if there is none."""
    supervisor = supervision()
    if supervisor is None or supervisor.remembered is None:
        return None
    endpoint = Endpoint.from_plain(supervisor.remembered)
    if not attach(endpoint, context.config.serve):
        return None
    supervisor.remember(supervisor.remembered, answers=True)
    version = supervisor.remembered["version"]
    show.line(f"{context.config.name} version {version} still answers at {endpoint.url}/predict")
    return endpoint


def _replicas(count: int) -> str:
    return "1 replica" if count == 1 else f"{count} replicas"


def served_after(context: Context, version: int) -> str | int:
    """What is served after a version is registered: the champion, which may be another version.

    Without a champion the version itself is served, and follows no release. A line says so in
    either case.
    """
    champion = _registry(context).release(context.config.name).champion
    if champion is None:
        show.line(
            f"there is no champion: version {version} is served for a trial, and follows no release"
        )
        return version
    if champion != version:
        instead = context.command("serve", str(version), about=("data", "name", "serve", "cluster"))
        show.line(f"serving the champion, version {champion}; {instead} serves the new version")
    return CHAMPION


def say_registered(context: Context, version: int) -> None:
    """Record that a version is registered, and how to serve it."""
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
        raise ServeError(
            f"the endpoint answers its own example with HTTP {answer.status}",
            remedy="See the answer above, and the log of its replicas",
        )


def serve_until_signal(
    context: Context, ending: Ending | None = None, *, period_s: float = 1.0
) -> None:
    """Watch the canary, if there is one, until SIGINT or SIGTERM.

    Args:
        context: of the endpoint that answers.
        ending: handles the signals; None handles them from now on.
        period_s: seconds between two readings of the counters.
    """
    ending = ending or Ending()
    ending.answers = True
    watch = CanaryWatch(_registry(context), context.config.name)
    shown_before = ""
    while not ending.asked.wait(period_s):
        try:
            decision = watch.look()
        except (RegistryError, OSError) as error:  # the endpoint answers without the watch
            if str(error) != shown_before:
                _say(shown_before := str(error))
            continue
        if decision is not None and decision.outcome != "go on":
            _say(f"the canary of {context.config.name}: {decision.outcome}: {decision.reason}")
    ends_already()
    ending.release()


def _say(text: str) -> None:
    with suppress(OSError):  # the endpoint outlives the reader of its output
        show.line(text)


def _registry(context: Context) -> Registry:
    return Registry(Path(context.config.paths.registry), context.trust)


def _bundle(context: Context, version: str | int) -> Path:
    return _registry(context).resolve(context.config.name, version)
