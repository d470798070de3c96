"""OpenTelemetry spans of requests, made from their times once they are answered.

Nothing of OpenTelemetry is touched while a request is on its way, nor at all where tracing is off.
Names and attributes follow its semantic conventions for HTTP servers,
https://opentelemetry.io/docs/specs/semconv/http/http-spans/.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from rayml.errors import ServeError
from rayml.serve.http.request_id import trace_parts
from rayml.serve.http.request_record import RequestRecord

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

CONSOLE = "console"


class Tracing:
    """Makes a span for each request that is sampled, with one for each part of it.

    The parts are `receive` (the body), `parse`, and `predict`: waiting for the forward pass, the
    pass, and writing the answer. A trace that a client has begun goes on, sampled as the
    client says.

    Args:
        provider: of spans; it is shut down with this.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("rayml.serve")
        self._epoch_ns = time.time_ns() - time.perf_counter_ns()

    def observe(self, record: RequestRecord) -> None:
        """Make the spans of an answer."""
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        span = self._tracer.start_span(
            f"{record.method} {record.route}".rstrip(),
            context=_remote(record.trace),
            kind=SpanKind.SERVER,
            start_time=self._ns(record.started),
            attributes=_attributes(record),
        )
        if span.is_recording():
            context = set_span_in_context(span)
            for name, begin, end in _parts(record):
                part = self._tracer.start_span(name, context, start_time=self._ns(begin))
                part.end(self._ns(end))
            if record.status >= 500:
                span.set_status(Status(StatusCode.ERROR))
        span.end(self._ns(record.ended))

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()

    def _ns(self, seconds: float) -> int:
        return self._epoch_ns + int(seconds * 1e9)


def tracer_provider(endpoint: str, sample_ratio: float, replica: str) -> TracerProvider:
    """Make a provider that sends spans in batches.

    Args:
        endpoint: URL of an OTLP collector over HTTP, as http://127.0.0.1:4318/v1/traces, or
            `console`.
        sample_ratio: share of the requests whose spans are made, where the client does not say.
        replica: id that the spans name.

    Raises:
        ServeError: the exporter is not installed.
    """
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    exporter = ConsoleSpanExporter(out=sys.stdout) if endpoint == CONSOLE else _otlp(endpoint)
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
        resource=Resource.create({"service.name": "rayml", "service.instance.id": replica}),
        # Replicas close it when they end.
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def require_exporter(endpoint: str | None) -> None:
    """Refuse a collector that nothing could send to.

    Raises:
        ServeError: the exporter is not installed.
    """
    if endpoint not in {None, CONSOLE}:
        _otlp_exporter()


def _otlp(endpoint: str) -> Any:
    return _otlp_exporter()(endpoint=endpoint)


def _otlp_exporter() -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise ServeError(
            f"the exporter of traces is not installed ({error})",
            remedy="Install rayml[tracing], or use serve.tracing.endpoint=console",
        ) from error
    return OTLPSpanExporter


def _remote(parent: bytes | None) -> Context | None:
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        TraceFlags,
        set_span_in_context,
    )

    parts = trace_parts(parent) if parent is not None else None
    if parts is None:
        return None
    trace, span, sampled = parts
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    context = SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(context))


def _attributes(record: RequestRecord) -> dict[str, str | int]:
    return {
        "http.request.method": record.method,
        "http.route": record.route,
        "http.response.status_code": record.status,
        "http.request.body.size": record.bytes_in,
        "http.response.body.size": record.bytes_out,
        "url.path": record.path,
        "client.address": record.client,
        "rayml.request_id": record.id,
        "rayml.model": record.model,
        "rayml.version": record.version,
        "rayml.rows": record.rows,
    }


def _parts(record: RequestRecord) -> list[tuple[str, float, float]]:
    parts = []
    if record.received:
        parts.append(("receive", record.started, record.received))
    if record.parsed:
        parts.append(("parse", record.received, record.parsed))
        parts.append(("predict", record.parsed, record.ended))
    return parts
