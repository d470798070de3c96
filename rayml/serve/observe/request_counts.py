"""Counts the requests of a replica, once each, in memory and at a microsecond for each.

Prometheus's own client costs several times that, since it looks a series up by its labels and
takes a lock for each number. Here one look-up finds all that is counted of a request. `/metrics`
and the guards of a canary read the same counts; see `exposition` and `rayml.serve.release`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from rayml.data.fit.oddities import OddKind
from rayml.serve.http.request_record import CLIENT_GONE, RequestRecord
from rayml.serve.model.histogram import Histogram
from rayml.serve.observe.latency import ALL_S, GUARDED_S, SHOWN_S, regrouped

if TYPE_CHECKING:
    from rayml.serve.model.served import ServedModel


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram at one moment; see `Histogram`."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float


@dataclass(frozen=True, slots=True)
class AnswerCounts:
    """Answers of one status by one route, with one version.

    Attributes:
        model: name.
        version: of the model.
        route: that answered; empty for paths without one.
        status: of HTTP.
        rows: of requests that were answered.
        bytes_in: of bodies.
        bytes_out: of answers.
        seconds: from request to answer.
    """

    model: str
    version: str
    route: str
    status: int
    rows: int
    bytes_in: int
    bytes_out: int
    seconds: Distribution


@dataclass(frozen=True, slots=True)
class ModelState:
    """A version that a replica holds ready.

    Attributes:
        model: name.
        version: of the model.
        waiting: requests that wait for a forward pass or are in one.
        batches: forward passes by their rows.
        odd: values of requests unlike those of training: column, what is odd, and how many.
    """

    model: str
    version: str
    waiting: int
    batches: Distribution
    odd: tuple[tuple[str, OddKind, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The counts of one replica since it started.

    Attributes:
        replica: its id.
        held: requests for predictions that it has taken in and not answered.
        capacity: how many it takes in at most.
        answers: by version, route and status.
        models: versions that are ready.
        problem: why it cannot write its counts for the other replicas; empty if it can.
        lost_lines: lines of the access log that could not be written.
    """

    replica: str
    held: int
    capacity: int
    answers: tuple[AnswerCounts, ...]
    models: tuple[ModelState, ...]
    problem: str = ""
    lost_lines: int = 0


SNAPSHOT = TypeAdapter(Snapshot)


@dataclass(frozen=True, slots=True)
class Load:
    """Requests in progress, capacity, and versions of a replica; see `Snapshot`."""

    held: int
    capacity: int
    models: Iterable[ServedModel]


@dataclass(frozen=True, slots=True)
class AnswerTotals:
    """Predictions that one version answered.

    Attributes:
        requests: answered, well or not.
        failed: of them with a 5xx or 408.
        refused: of them whose rows do not fit the version (422).
        latency: requests by the first of `GUARDED_S` that they fit in, slower ones last.
    """

    requests: int = 0
    failed: int = 0
    refused: int = 0
    latency: tuple[int, ...] = ()

    def since(self, before: AnswerTotals) -> AnswerTotals:
        """What was added to earlier totals."""
        pairs = zip(self.latency, before.latency, strict=True)
        return AnswerTotals(
            self.requests - before.requests,
            self.failed - before.failed,
            self.refused - before.refused,
            tuple(now - then for now, then in pairs),
        )


class RequestCounts:
    """Counts the requests of one replica: by model, version, route, status, and whether chosen.

    The event loop counts; any thread reads.

    Args:
        replica: its id.
    """

    def __init__(self, replica: str) -> None:
        self._replica = replica
        self._series: dict[tuple[str, str, str, int, bool], _Series] = {}

    def observe(self, record: RequestRecord) -> None:
        """Count a request."""
        key = (record.model, record.version, record.route, record.status, record.chosen)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series()
        series.seconds.observe(record.ended - record.started)
        series.bytes_in += record.bytes_in
        series.bytes_out += record.bytes_out
        if record.status < 400:
            series.rows += record.rows

    def totals(self, version: str, routes: Callable[[str], bool]) -> AnswerTotals:
        """Total the requests that a version was chosen for and answered.

        Args:
            version: of the model.
            routes: whether requests by a route count.
        """
        by_status: defaultdict[int, list[list[int]]] = defaultdict(list)
        # A copy at once, since requests may add series meanwhile.
        for (_, number, route, status, chosen), series in list(self._series.items()):
            if chosen and number == version and status != CLIENT_GONE and routes(route):
                by_status[status].append(list(series.seconds.counts))
        sizes = {status: sum(map(sum, counts)) for status, counts in by_status.items()}
        every = [counts for each in by_status.values() for counts in each]
        fine = [sum(step) for step in zip(*every, strict=True)] or [0] * (len(ALL_S) + 1)
        return AnswerTotals(
            requests=sum(fine),
            failed=sum(size for status, size in sizes.items() if status >= 500 or status == 408),
            refused=sizes.get(422, 0),
            latency=regrouped(fine, GUARDED_S),
        )

    def snapshot(
        self, load: Callable[[], Load], *, problem: str = "", lost_lines: int = 0
    ) -> Snapshot:
        """Take the counts of this moment; from any thread.

        Args:
            load: gives the load of the replica.
            problem: see `Snapshot`.
            lost_lines: see `Snapshot`.
        """
        now = load()
        return Snapshot(
            replica=self._replica,
            held=now.held,
            capacity=now.capacity,
            answers=tuple(_answers(list(self._series.items()))),
            models=tuple(
                ModelState(
                    each.name,
                    each.version,
                    each.waiting,
                    _distribution(each.batch_rows),
                    each.odd_values.counts(),
                )
                for each in now.models
            ),
            problem=problem,
            lost_lines=lost_lines,
        )


class _Series:
    __slots__ = ("bytes_in", "bytes_out", "rows", "seconds")

    def __init__(self) -> None:
        self.seconds = Histogram(ALL_S)
        self.rows = self.bytes_in = self.bytes_out = 0


def _answers(
    series: Sequence[tuple[tuple[str, str, str, int, bool], _Series]],
) -> Iterator[AnswerCounts]:
    """Counts by model, version, route and status, whether the version was chosen or not."""
    together: defaultdict[tuple[str, str, str, int], list[_Series]] = defaultdict(list)
    for (model, version, route, status, _), each in series:
        together[model, version, route, status].append(each)
    for (model, version, route, status), parts in together.items():
        counts = [sum(step) for step in zip(*(part.seconds.counts for part in parts), strict=True)]
        yield AnswerCounts(
            model=model,
            version=version,
            route=route,
            status=status,
            rows=sum(part.rows for part in parts),
            bytes_in=sum(part.bytes_in for part in parts),
            bytes_out=sum(part.bytes_out for part in parts),
            seconds=Distribution(
                SHOWN_S, regrouped(counts, SHOWN_S), sum(part.seconds.sum for part in parts)
            ),
        )


def _distribution(histogram: Histogram) -> Distribution:
    return Distribution(histogram.bounds, tuple(histogram.counts), histogram.sum)
