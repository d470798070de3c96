"""Starts and stops an endpoint on a running Ray."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rayml.cluster.resources import machines, own_machine, total_resources
from rayml.cluster.slowness import slowness
from rayml.config.components.trust import ONLY_OWN, Trust
from rayml.errors import ServeError
from rayml.registry.bundle.bundle import load_bundle
from rayml.serve.access.key_file import keys_besides
from rayml.serve.access.keys import SCOPES, Key, new_key
from rayml.serve.answering import answers
from rayml.serve.ingress.ingress import (
    discard,
    drain,
    environment,
    internal_host,
    replica_host,
    replicas_asked,
    uses_haproxy,
)
from rayml.serve.ingress.largest_body import of_largest_body
from rayml.serve.ingress.ports import Ports, address
from rayml.serve.observe.access_log import STDOUT
from rayml.serve.observe.tracing import require_exporter
from rayml.serve.rayserve.deployed import APPLICATION, cause, runs, status
from rayml.serve.rayserve.grpc.transport import grpc_environment, grpc_options
from rayml.serve.rayserve.private_names import require_private_names, require_variables
from rayml.serve.rayserve.shutdown import shut_down
from rayml.serve.rayserve.starting import start_timeouts, start_with_retries
from rayml.serve.release.counted_rows import begin_counting
from rayml.settings.serve import KeySettings, ServeSettings, is_loopback
from rayml.storage.temporary import make_folder, remove_folder

_PLAIN = ("host", "port", "grpc_port", "key", "drain_s")
# Serve ends a request only if the app, which answers with its own error, did not.
_GRACE_S = 5.0


@dataclass(frozen=True)
class Endpoint:
    """An endpoint that answers.

    Attributes:
        host: that its port is bound to.
        port: of HTTP.
        grpc_port: of gRPC; None if it is not answered.
        key: for the process that started it, where keys are required.
        drain_s: seconds in which it must answer the requests taken in when it stops.
        temporary: folder that is removed with it.
        held: its ports, which it reserves until it ends.
    """

    host: str
    port: int
    grpc_port: int | None = None
    key: str | None = field(default=None, repr=False)
    drain_s: float = 30.0
    temporary: Path | None = field(default=None, repr=False)
    held: Ports = field(default_factory=Ports, repr=False)

    @property
    def url(self) -> str:
        """Base URL, without a slash at its end."""
        return f"http://{self._host}:{self.port}"

    @property
    def grpc_address(self) -> str | None:
        """Address of gRPC as its clients take it, host and port; None if it is not answered."""
        return None if self.grpc_port is None else f"{self._host}:{self.grpc_port}"

    @property
    def _host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def to_plain(self) -> dict[str, Any]:
        """The values that another process needs, as JSON has them."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        return {
            **plain,
            "url": self.url,
            "temporary": self.temporary and str(self.temporary),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Endpoint:
        """The endpoint that `to_plain` described; other keys are ignored."""
        known = {name: plain[name] for name in _PLAIN}
        return cls(**known, temporary=plain["temporary"] and Path(plain["temporary"]))

    def stop(self) -> None:
        """End the endpoint after it has answered the requests taken in."""
        from ray import serve

        # Serve ends its proxies together with all else, so their requests must be answered before.
        if not drain(self.drain_s) and status() is not None:
            serve.delete(APPLICATION)
        self.end()

    def end(self) -> None:
        """End it at once."""
        try:
            shut_down()
            discard()
        finally:
            if self.temporary is not None:
                remove_folder(self.temporary)
            self.held.release()


def start(
    bundle: Path,
    *,
    version: str,
    settings: ServeSettings,
    follows: bool = False,
    timeout_s: float = 120.0,
    trust: Trust = ONLY_OWN,
    owner: int | None = None,
    announce: Callable[[Endpoint], None] = lambda _: None,
) -> Endpoint:
    """Serve a bundle on the Ray that this process is connected to.

    Args:
        bundle: its folder, readable by every node of the cluster.
        version: of the model in the registry.
        settings: of the endpoint.
        follows: whether the bundle is in a registry, whose release is served from then on.
        timeout_s: seconds in which it must answer on a machine at rest.
        trust: whose code bundles may name, and whose signatures they need.
        owner: process that its temporary folder goes with; None is this one.
        announce: called with the endpoint before it is deployed.

    Returns:
        The endpoint, whose `/readyz` has answered.

    Raises:
        BundleError: the bundle is torn or altered.
        ServeError: the installed Ray Serve or uvicorn lacks a private name that rayml uses, the
            host is no address, the keys cannot be read, the port is taken, Serve
            already runs, the cluster is too small, or the replicas do not start.
    """
    from ray import serve

    require_private_names()
    load_bundle(bundle, trust)
    host = address(settings.host)
    keys = _keys(settings.keys)
    _check_resources(settings)
    require_exporter(settings.tracing.endpoint)
    if serve.status().proxies:
        raise ServeError(
            "the Ray cluster already serves an endpoint",
            found=list(serve.status().applications),
            remedy="Stop it first",
        )

    def begin() -> Endpoint:
        given = (bundle, version, settings, host, keys, follows, timeout_s, trust)
        return _start(*given, owner=owner, announce=announce)

    return start_with_retries(begin)


def _start(
    bundle: Path,
    version: str,
    settings: ServeSettings,
    host: str,
    own_and_others: tuple[str | None, tuple[Key, ...]],
    follows: bool,
    timeout_s: float,
    trust: Trust,
    *,
    owner: int | None,
    announce: Callable[[Endpoint], None],
) -> Endpoint:
    own, keys = own_and_others
    held = Ports()
    try:
        ports = held.hold_all(host, settings)
        settings, temporary = _with_folders(_with_own_name(settings), owner)
    except BaseException:
        held.release()
        raise
    if follows:
        begin_counting(bundle.parent.parent)
    drain_s = settings.request_timeout_s + _GRACE_S
    endpoint = Endpoint(host, *ports, own, drain_s, temporary, held)
    announce(endpoint)
    try:
        _deploy(bundle, version, settings, endpoint, keys, follows=follows, trust=trust)
        asked = settings.replicas.min if uses_haproxy(settings.ingress) else 0
        _wait_until_ready(endpoint, asked, timeout_s)
    except BaseException:
        endpoint.end()
        raise
    return endpoint


def attach(endpoint: Endpoint, settings: ServeSettings, *, timeout_s: float = 120.0) -> bool:
    """Wait until an endpoint answers whose driver was killed, from its deployment on.

    Args:
        endpoint: that it made, or was about to make.
        settings: with which it was started.
        timeout_s: seconds in which it must answer.

    Returns:
        Whether it does; if not, it had not been deployed, and nothing is left of it.

    Raises:
        ServeError: its replicas do not start.
    """
    if status() is None:
        endpoint.end()
        return False
    asked = settings.replicas.min if uses_haproxy(settings.ingress) else 0
    _wait_until_ready(endpoint, asked, timeout_s)
    return True


def _with_own_name(settings: ServeSettings) -> ServeSettings:
    """Settings by which an endpoint that others reach answers to this machine's name as well."""
    if is_loopback(settings.host):
        return settings
    return replace(settings, hosts=(*settings.hosts, *filter(None, [platform.node()])))


def _with_folders(settings: ServeSettings, owner: int | None) -> tuple[ServeSettings, Path | None]:
    """Settings whose paths mean the same in every process, and the folder that was made."""
    log, metrics = settings.access_log, settings.metrics_folder
    if log not in {None, STDOUT}:
        log = str(Path(log).resolve())
    temporary = None if metrics else make_folder("metrics", owner=owner)
    folder = str(temporary or Path(metrics or "").resolve())
    return replace(settings, access_log=log, metrics_folder=folder), temporary


def _deploy(
    bundle: Path,
    version: str,
    settings: ServeSettings,
    endpoint: Endpoint,
    keys: tuple[Key, ...],
    *,
    follows: bool,
    trust: Trust,
) -> None:
    import ray
    from ray import serve

    from rayml.serve.replica import application

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    host = _replica_host(settings, endpoint.host)
    _start_serve(settings, endpoint, host)
    target = serve.RunTarget(
        target=application(
            bundle,
            version=version,
            settings=settings,
            keys=keys,
            follows=follows,
            # One elsewhere would listen where HAProxy cannot reach it.
            machine=ray.util.get_node_ip_address() if is_loopback(host) else None,
            trust=trust,
        ),
        name=APPLICATION,
        route_prefix="/",
        logging_config=_quiet(),
    )
    serve.run_many([target], wait_for_applications_running=False)


def _start_serve(settings: ServeSettings, endpoint: Endpoint, host: str) -> None:
    """Start Serve's controller and proxies.

    Args:
        settings: of the endpoint.
        endpoint: with its ports.
        host: that Serve's own servers bind to.
    """
    from ray import serve
    from ray.serve.config import HTTPOptions, ProxyLocation

    timeout_s = settings.request_timeout_s + _GRACE_S
    variables = environment(
        settings.ingress,
        host=endpoint.host,
        arrival_s=settings.request_timeout_s,
        ports=endpoint.held,
        haproxy=settings.haproxy,
    )
    variables |= start_timeouts() | of_largest_body(settings.max_body_bytes)
    grpc = None
    if endpoint.grpc_port is not None:
        fallback = endpoint.held.choose(internal_host(endpoint.host))
        variables = grpc_environment(variables, host, settings, fallback_port=fallback)
        grpc = grpc_options(endpoint.grpc_port, timeout_s=timeout_s)
    require_variables(variables)
    serve.start(
        proxy_location=ProxyLocation.HeadOnly,
        http_options=HTTPOptions(host=host, port=endpoint.port, request_timeout_s=timeout_s),
        grpc_options=grpc,
        logging_config=_quiet(),
        controller_options={"runtime_env": {"env_vars": variables}},
    )


def _quiet() -> Any:
    from ray.serve.schema import LoggingConfig

    return LoggingConfig(log_level="ERROR", enable_access_log=False)


def _wait_until_ready(endpoint: Endpoint, asked: int, timeout_s: float) -> None:
    """Wait until an endpoint answers, and HAProxy passes requests to `asked` replicas itself."""
    started = time.monotonic()
    # The load of the machine may grow meanwhile.
    while time.monotonic() < (deadline := started + timeout_s * slowness()):
        # Before it runs, the proxy would hold a request for as long as it may take. Until HAProxy
        # knows the replicas, requests pass that proxy, which retries none on another replica.
        if runs() and (not asked or replicas_asked() >= asked) and answers(endpoint, deadline):
            return
        time.sleep(0.05)
    raise ServeError(
        f"the endpoint did not answer in time ({cause()})",
        remedy="See the replicas' logs in serve/ of Ray's log folder; on a machine that is busy,"
        " try again when it has less to do",
    )


def _keys(settings: KeySettings) -> tuple[str | None, tuple[Key, ...]]:
    """A key of the caller's own, and the keys that replicas accept besides those of the file."""
    if not settings.given:
        return None, ()
    own, key = new_key("rayml", SCOPES)
    return own, (*keys_besides(settings.file, settings.variable), key)


def _replica_host(settings: ServeSettings, host: str) -> str:
    """Address that Serve's own HTTP servers bind to."""
    return replica_host(settings.ingress, host, len(machines()))


def one_machine(settings: ServeSettings) -> bool:
    """Whether replicas run on this machine alone, since they listen on its loopback address."""
    return is_loopback(_replica_host(settings, address(settings.host)))


def on_one_of_several(settings: ServeSettings) -> bool:
    """Whether the cluster has other machines, on which no replica runs."""
    return len(machines()) > 1 and one_machine(settings)


def _check_resources(settings: ServeSettings) -> None:
    total, place = total_resources(), "cluster"
    if one_machine(settings):
        total, place = own_machine().resources, "machine of an endpoint on a loopback address"
    replicas = settings.replicas
    for name, wanted, has in (
        ("CPU", replicas.cpu, total.cpus),
        ("GPU", replicas.gpu, total.gpus),
    ):
        if wanted > has:
            raise ServeError(
                f"a replica wants {wanted:g} {name}, and the {place} has {has:g}",
                remedy=f"Lower serve.replicas.{name.lower()}, or use a larger {place.split()[0]}",
            )
