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
from rayml.serve.observe.latency import ALL_S, GUARDED_S, SHOWN_S, regrouped
from rayml.serve.observe.request_counts import SNAPSHOT, Load, RequestCounts, Snapshot
from tests.serve.records import record

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


def snapshot(metrics: RequestCounts, *models: Model, held: int = 0) -> Snapshot:
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
    metrics = RequestCounts("r1")
    for each in (
        record(),
        record(status=422, rows=9, bytes_out=10),
        record(rows=1),
        record(version="4"),
        record(status=500),
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
    metrics = RequestCounts("r1")
    for seconds in values:
        metrics.observe(record(started=0.0, ended=seconds))
    if not values:
        return
    seen = samples(snapshot(metrics))
    for bound in (*SHOWN_S, math.inf):
        le = "+Inf" if bound == math.inf else str(bound)
        key = "rayml_request_duration_seconds_bucket", frozenset((ROUTE | {"le": le}).items())
        assert seen[key] == sum(seconds <= bound for seconds in values)


def test_versions_and_load_are_told_of_every_replica() -> None:
    batches = Histogram((1, 4))
    batches.observe(3)
    one = snapshot(RequestCounts("r1"), Model(waiting=2, batch_rows=batches), held=5)
    two = snapshot(RequestCounts("r2"), Model(), Model(version="4"))
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
    metrics = RequestCounts("r1")
    metrics.observe(record())
    taken = snapshot(metrics, Model())
    assert SNAPSHOT.validate_json(SNAPSHOT.dump_json(taken)) == taken


def test_odd_names_are_escaped() -> None:
    metrics = RequestCounts('r"1\\')
    metrics.observe(record(model='a"b\nc\\'))
    (key,) = (key for key in samples(snapshot(metrics)) if key[0] == "rayml_requests_total")
    assert dict(key[1])["model"] == 'a"b\nc\\'
    assert dict(key[1])["replica"] == 'r"1\\'


def test_odd_values_are_counted_by_column_and_kind() -> None:
    model = Model(odd=(("job", "unknown", 3), ("age", "range", 1)))
    found = samples(snapshot(RequestCounts("r1"), model))
    own = {("replica", "r1"), ("model", "boxes"), ("version", "3")}
    for column, kind, count in model.odd:
        labels = frozenset({*own, ("column", column), ("kind", kind)})
        assert found["rayml_odd_values_total", labels] == count


def test_totals_are_of_requests_that_the_version_was_chosen_for() -> None:
    counts = RequestCounts("r1")
    for each in (
        record(),
        record(status=422),
        record(status=500, started=0.0, ended=100.0),
        record(status=408),
        record(route="/explain"),
        record(route="/feedback"),
        record(version="4"),
        record(status=499),
        record(status=503, chosen=False),
    ):
        counts.observe(each)
    found = counts.totals("3", lambda route: route != "/feedback")
    assert (found.requests, found.failed, found.refused) == (5, 2, 1)
    assert sum(found.latency) == 5
    assert found.latency[-1] == 1
    # What was not chosen is in `/metrics` all the same.
    seen = samples(snapshot(counts))
    assert seen["rayml_requests_total", frozenset((ROUTE | {"code": "503"}).items())] == 1
    later = record(started=0.0, ended=0.001)
    counts.observe(later)
    added = counts.totals("3", lambda route: route != "/feedback").since(found)
    assert (added.requests, added.failed, added.refused, sum(added.latency)) == (1, 0, 0, 1)


def test_chosen_or_not_is_one_series_of_the_page() -> None:
    counts = RequestCounts("r1")
    counts.observe(record(status=503))
    counts.observe(record(status=503, chosen=False))
    (answers,) = snapshot(counts).answers
    assert (sum(answers.seconds.counts), answers.bytes_in) == (2, 80)


@given(st.lists(st.floats(0, 100)), st.sampled_from([SHOWN_S, GUARDED_S]))
def test_counts_by_fewer_bounds_are_as_if_counted_by_them(
    values: list[float], bounds: tuple[float, ...]
) -> None:
    every, few = Histogram(ALL_S), Histogram(bounds)
    for value in values:
        every.observe(value)
        few.observe(value)
    assert regrouped(every.counts, bounds) == tuple(few.counts)
