"""What became of the requests of each version, in numbers that can be added up over replicas."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rayml.types import NonNegative, Size, TargetInfo, settings

if TYPE_CHECKING:
    import torch

# Upper bounds of latency in seconds: from 0.5 ms to 56 s, each 15 % above the one before.
LATENCY_BOUNDS = tuple(0.0005 * 1.15**n for n in range(84))
_BINS = 20


@settings
class Counts:
    """Counters of one version.

    Attributes:
        requests: predictions answered, well or not.
        failed: of them with a 5xx or 408.
        refused: of them whose rows do not fit the version (422).
        latency: requests by the first of `LATENCY_BOUNDS` that they fit in, slower ones last.
        predictions: rows by what was predicted: 20 steps of P(positive), the classes, or 20 steps
            of the value around the mean of the target; empty while no canary runs.
        labels: labelled rows.
        loss: of them summed.
        loss_squared: squares of their losses summed.
        paired: labelled rows that canary and champion both predicted.
        excess: loss less the champion's on the same row, summed over `paired`.
        excess_squared: its squares summed.
        mirrored: rows that were predicted as a shadow.
        dropped: rows that were not, for want of time.
        mirror_failed: rows on which it failed as a shadow.
        changed: mirrored rows whose label differs from the champion's.
        difference: absolute difference of probability or value, summed over mirrored rows.
    """

    requests: Size = 0
    failed: Size = 0
    refused: Size = 0
    latency: tuple[int, ...] = ()
    predictions: tuple[int, ...] = ()
    labels: Size = 0
    loss: NonNegative = 0.0
    loss_squared: NonNegative = 0.0
    paired: Size = 0
    excess: float = 0.0
    excess_squared: NonNegative = 0.0
    mirrored: Size = 0
    dropped: Size = 0
    mirror_failed: Size = 0
    changed: Size = 0
    difference: NonNegative = 0.0

    def quantile(self, share: float) -> float | None:
        """Latency in seconds that a share of the requests keeps; None without any."""
        wanted, seen = share * sum(self.latency), 0
        for bound, count in zip((*LATENCY_BOUNDS, float("inf")), self.latency, strict=False):
            seen += count
            if count and seen >= wanted:
                return bound
        return None

    def slower_than(self, seconds: float) -> int:
        """Requests that took longer; those of its own step of the histogram do not count."""
        return sum(self.latency[bisect_left(LATENCY_BOUNDS, seconds) + 1 :])


_SUMS = tuple(name for name in Counts.__annotations__ if name not in {"latency", "predictions"})


def total(counts: Iterable[Counts]) -> Counts:
    """Add up counters of one version over several replicas."""
    every = list(counts)
    sums = {name: sum(getattr(each, name) for each in every) for name in _SUMS}
    return Counts(
        **sums,
        latency=_added([each.latency for each in every]),
        predictions=_added([each.predictions for each in every]),
    )


def _added(rows: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    length = max((len(row) for row in rows), default=0)
    padded = (row + (0,) * (length - len(row)) for row in rows)
    return tuple(map(sum, zip(*padded, strict=True)))


class Counter:
    """Counts for one version in one replica; several threads may.

    Args:
        target: whose scale tells predictions apart; canary and champion are given the same one.
    """

    def __init__(self, target: TargetInfo) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._latency = [0] * (len(LATENCY_BOUNDS) + 1)
        self._predictions: list[int] = []
        self._sums: dict[str, float] = _zeros()

    def answered(self, status: int, seconds: float) -> None:
        """Count a request."""
        with self._lock:
            self._sums["requests"] += 1
            self._latency[bisect_left(LATENCY_BOUNDS, seconds)] += 1
            if status >= 500 or status == 408:
                self._sums["failed"] += 1
            elif status == 422:
                self._sums["refused"] += 1

    def add(self, **values: float) -> None:
        """Add to sums, by their names in `Counts`."""
        with self._lock:
            for name, value in values.items():
                self._sums[name] += value

    def predicted(self, predictions: torch.Tensor) -> None:
        """Count predictions by what they are, as `Predictor.outputs` gives them."""
        import torch

        match self._target.task:
            case "multiclass":
                bins, size = predictions.argmax(dim=1), len(self._target.classes)
            case "binary":
                bins, size = (predictions * _BINS).long(), _BINS
            case "regression":
                # Three standard deviations on either side; beyond them in the outer steps.
                steps = (predictions - self._target.mean) / self._target.scale
                bins, size = ((steps + 3) * (_BINS / 6)).floor().long(), _BINS
        found = torch.bincount(bins.clamp(0, size - 1), minlength=size).tolist()
        with self._lock:
            held = self._predictions or [0] * size
            self._predictions = [old + new for old, new in zip(held, found, strict=True)]

    def read(self) -> Counts:
        """The counters so far."""
        with self._lock:
            return Counts(
                **self._sums,  # type: ignore[arg-type]
                latency=tuple(self._latency),
                predictions=tuple(self._predictions),
            )


def _zeros() -> dict[str, float]:
    """All sums of `Counts` at nothing."""
    return dict.fromkeys(_SUMS, 0)
