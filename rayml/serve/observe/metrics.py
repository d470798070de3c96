"""What a replica counts of its answers, in memory and at a microsecond for each.

Prometheus's own client costs several times that, since it looks a series up by its labels and
takes a lock for each number. Here one look-up finds all that is counted of an answer; text is made
when it is asked for, see `exposition`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from rayml.data.fit.oddities import OddKind
from rayml.serve.http.request_record import Answered
from rayml.serve.model.histogram import Histogram

if TYPE_CHECKING:
    from rayml.serve.model.served import ServedModel

# From an answer within the event loop to the longest that requests usually may take.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


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
    """What one replica has counted since it started.

    Attributes:
        replica: its id.
        held: requests for a model's work that it has taken in and not answered.
        capacity: how many it takes in at most.
        answers: by version, route and status.
        models: versions that are ready.
        problem: why it cannot tell others what it counts; empty if it can.
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
    """What a replica has in hand; see `Snapshot`."""

    held: int
    capacity: int
    models: Iterable[ServedModel]


class Metrics:
    """Counts the answers of one replica.

    Args:
        replica: its id.
    """

    def __init__(self, replica: str) -> None:
        self._replica = replica
        self._series: dict[tuple[str, str, str, int], _Series] = {}

    def observe(self, answered: Answered) -> None:
        """Count an answer."""
        key = (answered.model, answered.version, answered.route, answered.status)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series()
        series.seconds.observe(answered.ended - answered.started)
        series.bytes_in += answered.bytes_in
        series.bytes_out += answered.bytes_out
        if answered.status < 400:
            series.rows += answered.rows

    def snapshot(
        self, load: Callable[[], Load], *, problem: str = "", lost_lines: int = 0
    ) -> Snapshot:
        """Take the counts of this moment; from any thread.

        Args:
            load: gives what the replica has in hand.
            problem: see `Snapshot`.
            lost_lines: likewise.
        """
        now = load()
        return Snapshot(
            replica=self._replica,
            held=now.held,
            capacity=now.capacity,
            # A copy at once, since answers may add series meanwhile.
            answers=tuple(each.counts(*key) for key, each in list(self._series.items())),
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
        self.seconds = Histogram(SECONDS)
        self.rows = self.bytes_in = self.bytes_out = 0

    def counts(self, model: str, version: str, route: str, status: int) -> AnswerCounts:
        return AnswerCounts(
            model=model,
            version=version,
            route=route,
            status=status,
            rows=self.rows,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            seconds=_distribution(self.seconds),
        )


def _distribution(histogram: Histogram) -> Distribution:
    return Distribution(histogram.bounds, tuple(histogram.counts), histogram.sum)
