"""Spans of requests."""

from __future__ import annotations

import builtins
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode

from rayml.errors import ServeError
from rayml.serve.observe.tracing import Tracing, require_exporter, tracer_provider
from tests.serve.records import record

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()


def spans(*answers: Any, ratio: float = 1.0) -> dict[str, ReadableSpan]:
    """The spans that answers make, by their names."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(ratio)))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = Tracing(provider)
    for each in answers:
        tracing.observe(each)
    tracing.close()
    return {span.name: span for span in exporter.get_finished_spans()}


def seconds(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


def test_a_request_has_a_span_for_each_of_its_parts() -> None:
    found = spans(record())
    request = found.pop("POST /predict")
    assert request.kind is SpanKind.SERVER
    assert request.parent is None
    assert request.attributes is not None
    assert request.attributes["http.route"] == "/predict"
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["rayml.request_id"] == "seven"
    assert request.attributes["rayml.rows"] == 3
    assert seconds(request) == pytest.approx(0.02, abs=1e-6)
    assert {name: round(seconds(span), 6) for name, span in found.items()} == {
        "receive": 0.001,
        "parse": 0.002,
        "predict": 0.017,
    }
    for span in found.values():
        assert span.parent is not None
        assert span.parent.span_id == request.context.span_id  # type: ignore[union-attr]
    assert found["receive"].start_time == request.start_time
    assert found["predict"].end_time == request.end_time


def test_parts_that_were_not_reached_have_no_span() -> None:
    assert set(spans(record(parsed=0.0))) == {"POST /predict", "receive"}
    assert set(spans(record(method="GET", route="", received=0.0, parsed=0.0))) == {"GET"}


def test_a_trace_that_a_client_began_goes_on() -> None:
    request = spans(record(trace=PARENT), ratio=0.0)["POST /predict"]
    assert request.context is not None
    assert f"{request.context.trace_id:032x}" == TRACE
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == SPAN
    assert request.parent.is_remote


def test_sampling_is_the_clients_choice_else_ours() -> None:
    assert not spans(record(trace=PARENT[:-2] + b"00"), ratio=1.0)
    assert not spans(record(), ratio=0.0)
    assert spans(record(trace=b"nonsense"), ratio=1.0)


def test_only_what_the_server_did_wrong_is_an_error() -> None:
    for status, code in ((200, StatusCode.UNSET), (422, StatusCode.UNSET), (500, StatusCode.ERROR)):
        assert spans(record(status=status))["POST /predict"].status.status_code is code


def test_the_console_is_a_target(capsys: pytest.CaptureFixture[str]) -> None:
    tracing = Tracing(tracer_provider("console", 1.0, "r1"))
    tracing.observe(record())
    tracing.close()
    printed = capsys.readouterr().out
    assert '"name": "POST /predict"' in printed
    assert '"service.instance.id": "r1"' in printed


def test_a_collector_gets_the_spans() -> None:
    bodies: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1/traces"
        require_exporter(url)
        tracing = Tracing(tracer_provider(url, 1.0, "r1"))
        tracing.observe(record())
        tracing.close()
        server.shutdown()
    request = ExportTraceServiceRequest.FromString(bodies[0])
    sent = [
        span.name
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert sorted(sent) == ["POST /predict", "parse", "predict", "receive"]


def test_a_collector_needs_the_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("opentelemetry.exporter"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    for endpoint in (None, "console"):
        require_exporter(endpoint)
    with pytest.raises(ServeError, match=r"rayml\[tracing\]"):
        require_exporter("http://127.0.0.1:4318/v1/traces")
