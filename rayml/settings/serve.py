"""Settings of how bundles are served, checked when they are made."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from rayml.types import Count, Fraction, NonNegative, Positive, Size, settings

Unknown = Literal["warn", "refuse", "ignore"]
_HOST = r"^(\*|(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?)$"
_ORIGIN = r"^https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$"


@settings
class ReplicaSettings:
    """How many replicas answer.

    Attributes:
        min: replicas at least; 0 lets an idle endpoint give back its resources.
        max: replicas at most.
        target_ongoing_requests: requests in progress per replica that scaling aims at.
        upscale_delay_s: seconds of higher load before replicas are added.
        downscale_delay_s: seconds of lower load before replicas are removed.
        cpu: CPU cores of a replica.
        gpu: GPUs of a replica, or a share of one.
    """

    min: Size = 1
    max: Count = 2
    target_ongoing_requests: Positive = 16
    upscale_delay_s: NonNegative = 1
    downscale_delay_s: NonNegative = 120
    cpu: NonNegative = 1.0
    gpu: NonNegative = 0.0

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> ReplicaSettings:
        if self.min > self.max:
            raise ValueError(f"min={self.min} is above max={self.max}; raise max, or lower min")
        return self


@settings
class KeySettings:
    """Where the API keys come from; without either, requests need no key.

    Attributes:
        file: path of a file of keys, as `rayml key` writes it; the same on every node. It is read
            again when it changes.
        variable: name of an environment variable with the same lines, or with keys in place of
            their hashes. It is read once, when the endpoint starts.
    """

    file: str | None = None
    variable: str | None = None

    @property
    def given(self) -> bool:
        """Whether requests need a key."""
        return self.file is not None or self.variable is not None


@settings
class RateSettings:
    """How many requests one client may send to one replica.

    Attributes:
        requests_per_second: requests a second, in the long run.
        burst: requests at once.
    """

    requests_per_second: Positive
    burst: Count = 20


def is_loopback(host: str) -> bool:
    """Whether an address is a loopback address; false for what is no address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@settings
class GrpcSettings:
    """Where the Open Inference Protocol is answered over gRPC.

    Attributes:
        port: port on the address of HTTP; 0 takes a free one, None serves no gRPC.
    """

    port: Annotated[int, Field(ge=0, le=65535)] | None = None


@settings
class HaproxySettings:
    """Threads, metrics and log of HAProxy.

    Attributes:
        threads: threads of HAProxy; None takes one for every four cores of the machine. More
            threads than free cores slow an endpoint down.
        metrics: whether Ray's metrics count its requests too; it then writes a line for each to a
            process of Serve. `/metrics` does not need it.
        log: syslog server that gets a line for each request, as `127.0.0.1:514` (UDP) or
            `/dev/log`; None for no lines. `access_log` does not need it.
    """

    threads: Count | None = None
    metrics: bool = False
    log: Annotated[str, Field(pattern=r"^[A-Za-z0-9_./:@\[\]-]+$")] | None = None


@settings
class LogSettings:
    """The replicas' log: failures with the ids of their requests, and what a model prints.

    The process that started the endpoint shows it; Ray's log folder holds it too.

    Attributes:
        level: least level of rayml's own lines; other libraries show warnings and errors.
        format: `text`, or `json` for a line of JSON each.
        file: path of a file that all replicas append to; on several machines a shared one. None
            takes one below `paths.endpoints`.
        max_bytes: a larger file is renamed to `FILE.1`, in place of the previous one.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
    file: str | None = None
    max_bytes: Count = 16 * 2**20


@settings
class TracingSettings:
    """Where the traces of requests go.

    Attributes:
        endpoint: URL of an OpenTelemetry collector that takes OTLP over HTTP, as
            http://127.0.0.1:4318/v1/traces; `console` prints spans; None traces nothing.
        sample_ratio: share of the requests that are traced, where the client does not decide.
    """

    endpoint: Annotated[str, Field(pattern="^(console|https?://.+)$")] | None = None
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0


@settings
class ServeSettings:
    """How a bundle is served.

    Attributes:
        host: address that the HTTP port binds to; keys are required unless it is loopback.
        port: HTTP port; 0 takes a free one.
        hosts: names that the endpoint answers to, as `shop.example` or, at one port alone,
            `shop.example:8443`; a request with another `Host` gets 421. It always answers to
            localhost and to its addresses, and off loopback to this machine's name; `*` is any
            name.
        origins: other sites whose pages may use the endpoint from a browser, as
            `https://shop.example`. A POST from a page of another site gets 403, and the browser
            lets such a page read nothing.
        ingress: how requests reach a replica: through Ray Serve's `proxy`, or through
            `haproxy`, which is many times faster; `auto` takes `haproxy` on Linux.
        haproxy: see `HaproxySettings`.
        ray_metrics: whether Ray Serve also counts and times each request for Ray's metrics and
            dashboard, which takes longer than a small prediction. `/metrics`, `access_log` and
            `tracing` do not need it.
        max_batch_size: most requests that one forward pass answers.
        batch_invariant: answer a row with the same bits whatever rows are computed with it; without
            it the rounding of sums depends on the batch. See `rayml.models.modules.invariant` and,
            for its cost, the README. Replicas then differ only where their processors do.
        batch_wait_s: seconds that a request waits for others to join its batch.
        max_ongoing_requests: most requests in progress in one replica.
        max_queued_requests: further requests that a replica holds; more get 503.
        max_body_bytes: a request whose body is larger, as sent or decompressed, gets 413.
        max_held_bytes: bytes of bodies above 64 KiB that one replica holds until they are answered;
            a request that finds no room gets 503.
        max_rows: a request of more rows gets 413.
        unknown: how rows with values unlike those of training are answered: a category that the
            model does not know, a missing value in a column without any in training, or a number or
            time farther outside of the training range than the range is wide. `warn` answers with
            a warning, `refuse` gives 422, `ignore` does not check.
        interval: probability with which each answer of `/predict` and of `rayml predict` has a
            region that holds the truth; a request may name another. None gives none unless it is
            asked for. A bundle that cannot give them is then not served.
        max_explain_rows: a request of more rows to explain gets 413.
        explain_tolerance: most by which the attributions of a row may miss the difference from the
            baseline, as a probability or a share of the target's standard deviation; where a value
            differs by more, as a share of the difference.
        max_explain_steps: most gradients of a model for a row, even if the tolerance is not met.
        request_timeout_s: seconds after which a request gets 408.
        keys: see `KeySettings`.
        rate: see `RateSettings`; a client that exceeds it gets 429. None for no limit.
        grpc: see `GrpcSettings`.
        metrics_folder: folder of the replicas' counts, which /metrics reads; on several machines a
            shared one. None makes a temporary one.
        state_folder: folder of the replicas' status files where the registry's folder is gone; None
            takes one below `paths.endpoints`.
        log: see `LogSettings`.
        access_log: path of a file that gets a line of JSON for each answer, or `stdout`, that of
            the process that started the endpoint.
        tracing: see `TracingSettings`.
        replicas: see `ReplicaSettings`.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    hosts: tuple[Annotated[str, Field(pattern=_HOST)], ...] = ()
    origins: tuple[Annotated[str, Field(pattern=_ORIGIN)], ...] = ()
    ingress: Literal["auto", "haproxy", "proxy"] = "auto"
    haproxy: HaproxySettings = Field(default_factory=HaproxySettings)
    ray_metrics: bool = False
    max_batch_size: Count = 64
    batch_invariant: bool = False
    batch_wait_s: NonNegative = 0.0
    max_ongoing_requests: Count = 64
    max_queued_requests: Count = 256
    max_body_bytes: Count = 8 * 2**20
    max_held_bytes: Count = 128 * 2**20
    max_rows: Count = 10_000
    unknown: Unknown = "warn"
    interval: Fraction | None = None
    max_explain_rows: Count = 100
    explain_tolerance: Positive = 1e-3
    max_explain_steps: Annotated[int, Field(ge=32)] = 4096
    request_timeout_s: Positive = 30.0
    keys: KeySettings = Field(default_factory=KeySettings)
    rate: RateSettings | None = None
    grpc: GrpcSettings = Field(default_factory=GrpcSettings)
    metrics_folder: str | None = None
    state_folder: str | None = None
    log: LogSettings = Field(default_factory=LogSettings)
    access_log: str | None = None
    tracing: TracingSettings = Field(default_factory=TracingSettings)
    replicas: ReplicaSettings = Field(default_factory=ReplicaSettings)

    @pydantic.model_validator(mode="after")
    def _holds_a_body(self) -> ServeSettings:
        if self.max_held_bytes < self.max_body_bytes:
            raise ValueError(
                f"max_held_bytes={self.max_held_bytes} is less than"
                f" max_body_bytes={self.max_body_bytes}; raise the one, or lower the other"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _keeps_strangers_out(self) -> ServeSettings:
        if not is_loopback(self.host) and not self.keys.given:
            raise ValueError(
                f"others can reach {self.host}, and the endpoint asks for no key; make one with "
                "`rayml key NAME serve.keys.file=PATH` and serve with serve.keys.file=PATH, or "
                "name an environment variable that holds keys with serve.keys.variable"
            )
        return self
