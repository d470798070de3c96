"""The metrics of all replicas as Prometheus reads them.

Every series names its replica, so that counters are those of one process: they only grow, and
end with it. A sum over replicas would fall when one ends, which Prometheus takes for a restart;
sum rates instead, as the dashboard does. Names and units follow
https://prometheus.io/docs/practices/naming/.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from rayml.serve.observe.request_counts import AnswerCounts, Distribution, Snapshot

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4.encode()
_VERSION = ("replica", "model", "version")
_ROUTE = (*_VERSION, "route")
_CODE = (*_ROUTE, "code")


def exposition(snapshots: Sequence[Snapshot]) -> bytes:
    """Write the metrics of replicas in Prometheus's text format 0.0.4."""
    return generate_latest(_Replicas(snapshots))


class _Replicas(Collector):
    def __init__(self, snapshots: Sequence[Snapshot]) -> None:
        self._snapshots = snapshots

    def collect(self) -> Iterator[Metric]:
        yield from _answers(self._snapshots)
        yield from _latencies(self._snapshots)
        yield from _models(self._snapshots)
        yield from _load(self._snapshots)
        yield from _troubles(self._snapshots)


def _answers(snapshots: Iterable[Snapshot]) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "rayml_requests", "Answered requests; code 499 counts clients that left", labels=_CODE
    )
    errors = CounterMetricFamily("rayml_errors", "Of those, answers of 400 or more", labels=_CODE)
    rows = CounterMetricFamily("rayml_rows", "Rows of requests answered below 400", labels=_ROUTE)
    received = CounterMetricFamily("rayml_request_bytes", "Bytes of bodies", labels=_ROUTE)
    sent = CounterMetricFamily("rayml_response_bytes", "Bytes of answers", labels=_ROUTE)
    for labels, codes in _by_route(snapshots):
        for each in codes:
            count = sum(each.seconds.counts)
            requests.add_metric((*labels, str(each.status)), count)
            if each.status >= 400:
                errors.add_metric((*labels, str(each.status)), count)
        rows.add_metric(labels, sum(each.rows for each in codes))
        received.add_metric(labels, sum(each.bytes_in for each in codes))
        sent.add_metric(labels, sum(each.bytes_out for each in codes))
    yield from (requests, errors, rows, received, sent)


def _latencies(snapshots: Iterable[Snapshot]) -> Iterator[Metric]:
    seconds = HistogramMetricFamily(
        "rayml_request_duration_seconds", "From a request to its answer", labels=_ROUTE
    )
    for labels, codes in _by_route(snapshots):
        together = _sum([each.seconds for each in codes])
        seconds.add_metric(labels, _buckets(together), together.sum)
    yield seconds


def _models(snapshots: Iterable[Snapshot]) -> Iterator[Metric]:
    info = GaugeMetricFamily("rayml_model_info", "1 for a version that is ready", labels=_VERSION)
    queue = GaugeMetricFamily(
        "rayml_queue_length",
        "Requests that wait for a forward pass or are in one",
        labels=_VERSION,
    )
    batches = HistogramMetricFamily("rayml_batch_rows", "Rows of a forward pass", labels=_VERSION)
    odd = CounterMetricFamily(
        "rayml_odd_values",
        "Values unlike those of training: unknown, missing or range",
        labels=(*_VERSION, "column", "kind"),
    )
    for snapshot in snapshots:
        for each in snapshot.models:
            labels = (snapshot.replica, each.model, each.version)
            info.add_metric(labels, 1)
            queue.add_metric(labels, each.waiting)
            batches.add_metric(labels, _buckets(each.batches), each.batches.sum)
            for column, kind, count in each.odd:
                odd.add_metric((*labels, column, kind), count)
    yield from (info, queue, batches, odd)


def _load(snapshots: Sequence[Snapshot]) -> Iterator[Metric]:
    held = GaugeMetricFamily(
        "rayml_requests_in_progress",
        "Requests for predictions that are taken in and not answered",
        labels=_VERSION[:1],
    )
    capacity = GaugeMetricFamily(
        "rayml_requests_in_progress_limit",
        "Requests for predictions that a replica takes in; those beyond get 503",
        labels=_VERSION[:1],
    )
    for snapshot in snapshots:
        held.add_metric((snapshot.replica,), snapshot.held)
        capacity.add_metric((snapshot.replica,), snapshot.capacity)
    replicas = GaugeMetricFamily("rayml_replicas", "Replicas that run", value=len(snapshots))
    yield from (held, capacity, replicas)


def _troubles(snapshots: Iterable[Snapshot]) -> Iterator[Metric]:
    """Counts and log lines that a replica could not write, as on a full disk."""
    problem = GaugeMetricFamily(
        "rayml_metrics_folder_problem",
        "1 while a replica cannot write its counts, so that others do not know them, else 0",
        labels=(*_VERSION[:1], "problem"),
    )
    lost = CounterMetricFamily(
        "rayml_access_log_lost_lines",
        "Lines of the access log that could not be written",
        labels=_VERSION[:1],
    )
    for snapshot in snapshots:
        problem_text = snapshot.problem or "none"
        problem.add_metric((snapshot.replica, problem_text), int(bool(snapshot.problem)))
        lost.add_metric((snapshot.replica,), snapshot.lost_lines)
    yield from (problem, lost)


def _by_route(
    snapshots: Iterable[Snapshot],
) -> Iterator[tuple[tuple[str, str, str, str], list[AnswerCounts]]]:
    for snapshot in snapshots:
        routes: defaultdict[tuple[str, str, str], list[AnswerCounts]] = defaultdict(list)
        for each in snapshot.answers:
            routes[each.model, each.version, each.route].append(each)
        for labels, codes in routes.items():
            yield (snapshot.replica, *labels), codes


def _sum(parts: Sequence[Distribution]) -> Distribution:
    counts = zip(*(part.counts for part in parts), strict=True)
    return Distribution(
        parts[0].bounds,
        tuple(sum(each) for each in counts),
        sum(part.sum for part in parts),
    )


def _buckets(values: Distribution) -> list[tuple[str, float]]:
    """Bounds with the number of values up to each, as Prometheus wants them."""
    edges = [*(str(float(bound)) for bound in values.bounds), "+Inf"]
    ends: list[float] = []
    for count in values.counts:
        ends.append(count + (ends[-1] if ends else 0))
    return list(zip(edges, ends, strict=True))
