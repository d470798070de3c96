"""Settings of how bundles are served, checked when they are made."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic
from pydantic import Field

from rayml.types import Count, NonNegative, Positive, Size, settings


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
    upscale_delay_s: NonNegative = 5
    downscale_delay_s: NonNegative = 120
    cpu: NonNegative = 1.0
    gpu: NonNegative = 0.0

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> ReplicaSettings:
        if self.min > self.max:
            raise ValueError(f"min is at most max, got {self.min} and {self.max}")
        return self


@settings
class ServeSettings:
    """How a bundle is served.

    Attributes:
        host: address that the HTTP port binds to.
        port: HTTP port; 0 takes a free one.
        ingress: how requests reach a replica: through Ray Serve's `proxy`, or through
            `haproxy`, which is many times faster; `auto` takes `haproxy` on Linux.
        max_batch_size: requests that are answered by one forward pass at most.
        batch_wait_s: seconds that a request waits for others to join its batch.
        max_ongoing_requests: requests in progress in one replica at most.
        max_queued_requests: further requests that a replica holds; those beyond get 503.
        max_body_bytes: a request whose body is larger, as sent or decompressed, gets 413.
        max_held_bytes: bodies that one replica holds until they are answered, those of up to
            64 KiB not counted; a request that finds no room gets 503.
        max_rows: a request of more rows gets 413.
        request_timeout_s: seconds after which a request gets 408.
        replicas: see `ReplicaSettings`.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    ingress: Literal["auto", "haproxy", "proxy"] = "auto"
    max_batch_size: Count = 64
    batch_wait_s: NonNegative = 0.0
    max_ongoing_requests: Count = 64
    max_queued_requests: Count = 256
    max_body_bytes: Count = 8 * 2**20
    max_held_bytes: Count = 128 * 2**20
    max_rows: Count = 10_000
    request_timeout_s: Positive = 30.0
    replicas: ReplicaSettings = Field(default_factory=ReplicaSettings)

    @pydantic.model_validator(mode="after")
    def _holds_a_body(self) -> ServeSettings:
        if self.max_held_bytes < self.max_body_bytes:
            raise ValueError(
                "max_held_bytes is at least max_body_bytes, "
                f"got {self.max_held_bytes} and {self.max_body_bytes}"
            )
        return self
