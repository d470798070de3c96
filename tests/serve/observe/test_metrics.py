"""What a replica counts, and how Prometheus reads it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from rayml.data.fit.oddities import OddKind
from rayml.serve.model.histogram import Histogram
from rayml.serve.observe.exposition import exposition
from rayml.serve.observe.metrics import SECONDS, SNAPSHOT, Load, Metrics, Snapshot
from tests.serve.answers import answered

ROUTE = {"replica": "r1", "model": "boxes", "version": "3", "route": "/predict"}


@dataclass
class Model:
    """As much of a served version as is counted."""

    name: str = "boxes"
    version: str = "3"
    waiting: int = 0
    batch_rows: Histogram = field(default_factory=lambda: Histogram((1, 4)))
    odd: tuple[tuple[str, OddKind, int], ...] = ()

    @property
    def odd_values(self) -> Model:
        return self

    def counts(self) -> tuple[tuple[str, OddKind, int], ...]:
        return self.odd


def snapshot(metrics: Metrics, *models: Model, held: int = 0) -> Snapshot:
    return metrics.snapshot(lambda: Load(held, 320, models))  # type: ignore[arg-type]


def samples(*snapshots: Snapshot) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Each sample, read by Prometheus's own client."""
    found = {}
    for family in text_string_to_metric_families(exposition(snapshots).decode()):
        for each in family.samples:
            key = each.name, frozenset(each.labels.items())
            assert key not in found
            found[key] = each.value
    return found


def test_answers_are_counted_by_version_route_and_code() -> None:
    metrics = Metrics("r1")
    for each in (
        answered(),
        answered(status=422, rows=9, bytes_out=10),
        answered(rows=1),
        answered(version="4"),
        answered(status=500),
    ):
        metrics.observe(each)
    seen = samples(snapshot(metrics))

    def value(name: str, **labels: str) -> float:
        return seen[name, frozenset((ROUTE | labels).items())]

    assert value("rayml_requests_total", code="200") == 2
    assert value("rayml_requests_total", code="422") == 1
    assert value("rayml_requests_total", code="200", version="4") == 1
    assert value("rayml_errors_total", code="422") == value("rayml_errors_total", code="500") == 1
    assert ("rayml_errors_total", frozenset((ROUTE | {"code": "200"}).items())) not in seen
    # Rows of a refused request were not answered.
    assert value("rayml_rows_total") == 4
    assert value("rayml_request_bytes_total") == 160
    assert value("rayml_response_bytes_total") == 280
    assert value("rayml_request_duration_seconds_count") == 4
    assert value("rayml_request_duration_seconds_sum") == pytest.approx(4 * 0.02)
    assert value("rayml_request_duration_seconds_bucket", le="0.01") == 0
    assert value("rayml_request_duration_seconds_bucket", le="0.025") == 4


@given(st.lists(st.floats(0, 100)))
def test_buckets_are_cumulative_as_prometheus_wants_them(values: list[float]) -> None:
    metrics = Metrics("r1")
    for seconds in values:
        metrics.observe(answered(started=0.0, ended=seconds))
    if not values:
        return
    seen = samples(snapshot(metrics))
    for bound in (*SECONDS, math.inf):
        le = "+Inf" if bound == math.inf else str(bound)
        key = "rayml_request_duration_seconds_bucket", frozenset((ROUTE | {"le": le}).items())
        assert seen[key] == sum(seconds <= bound for seconds in values)


def test_versions_and_load_are_told_of_every_replica() -> None:
    batches = Histogram((1, 4))
    batches.observe(3)
    one = snapshot(Metrics("r1"), Model(waiting=2, batch_rows=batches), held=5)
    two = snapshot(Metrics("r2"), Model(), Model(version="4"))
    seen = samples(one, two)
    version = {"replica": "r1", "model": "boxes", "version": "3"}
    for replica, number in (("r1", "3"), ("r2", "3"), ("r2", "4")):
        labels = version | {"replica": replica, "version": number}
        assert seen["rayml_model_info", frozenset(labels.items())] == 1
    assert seen["rayml_queue_length", frozenset(version.items())] == 2
    assert seen["rayml_batch_rows_sum", frozenset(version.items())] == 3
    assert seen["rayml_batch_rows_bucket", frozenset((version | {"le": "4.0"}).items())] == 1
    assert seen["rayml_requests_in_progress", frozenset({("replica", "r1")})] == 5
    assert seen["rayml_requests_in_progress_limit", frozenset({("replica", "r2")})] == 320
    assert seen["rayml_replicas", frozenset()] == 2


def test_a_snapshot_survives_its_file() -> None:
    metrics = Metrics("r1")
    metrics.observe(answered())
    taken = snapshot(metrics, Model())
    assert SNAPSHOT.validate_json(SNAPSHOT.dump_json(taken)) == taken


def test_odd_names_are_escaped() -> None:
    metrics = Metrics('r"1\\')
    metrics.observe(answered(model='a"b\nc\\'))
    (key,) = (key for key in samples(snapshot(metrics)) if key[0] == "rayml_requests_total")
    assert dict(key[1])["model"] == 'a"b\nc\\'
    assert dict(key[1])["replica"] == 'r"1\\'


def test_odd_values_are_counted_by_column_and_kind() -> None:
    model = Model(odd=(("job", "unknown", 3), ("age", "range", 1)))
    found = samples(snapshot(Metrics("r1"), model))
    own = {("replica", "r1"), ("model", "boxes"), ("version", "3")}
    for column, kind, count in model.odd:
        labels = frozenset({*own, ("column", column), ("kind", kind)})
        assert found["rayml_odd_values_total", labels] == count
