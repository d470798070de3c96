"""Counts of each version: answers, predictions, losses; they can be added up over replicas."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rayml.serve.observe.latency import GUARDED_S
from rayml.serve.observe.request_counts import AnswerTotals
from rayml.tasks.decisions.rule import DecisionRule
from rayml.tasks.table import build_task
from rayml.types import NonNegative, Size, TargetInfo, settings

if TYPE_CHECKING:
    import torch


@settings
class Counts:
    """Counters of one version.

    Attributes:
        requests: predictions answered, well or not.
        failed: of them with a 5xx or 408.
        refused: of them whose rows do not fit the version (422).
        latency: requests by the first of `GUARDED_S` that they fit in, slower ones last.
        predictions: rows by what was predicted, see `Task.bins`; empty while no canary runs.
        labels: labelled rows.
        loss: of them summed.
        loss_squared: squares of their losses summed.
        paired: labelled rows that canary and champion both predicted.
        excess: loss less the champion's on the same row, summed over `paired`.
        excess_squared: its squares summed.
        shadowed: rows that were predicted as a shadow.
        dropped: rows that were not, since too many waited.
        shadow_failed: rows on which it failed as a shadow.
        changed: shadowed rows whose label differs from the champion's.
        difference: absolute difference of probability or value, summed over shadowed rows.
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
    shadowed: Size = 0
    dropped: Size = 0
    shadow_failed: Size = 0
    changed: Size = 0
    difference: NonNegative = 0.0

    def quantile(self, share: float) -> float | None:
        """Latency in seconds that a share of the requests keeps; None without any."""
        wanted, seen = share * sum(self.latency), 0
        for bound, count in zip((*GUARDED_S, float("inf")), self.latency, strict=False):
            seen += count
            if count and seen >= wanted:
                return bound
        return None

    def slower_than(self, seconds: float) -> int:
        """Requests that took longer; those of its own step of the histogram do not count."""
        return sum(self.latency[bisect_left(GUARDED_S, seconds) + 1 :])


_SUMS = tuple(name for name in Counts.__annotations__ if name not in {"latency", "predictions"})
_OWN_SUMS = tuple(name for name in _SUMS if name not in {"requests", "failed", "refused"})


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


class VersionCounter:
    """Counts what one version predicts in one replica, beside its requests; any thread may.

    Args:
        target: by whose scale predictions are counted; the same for canary and champion.
        rule: by which the version answers a class.
    """

    def __init__(self, target: TargetInfo, rule: DecisionRule | None = None) -> None:
        self._task = build_task(target).deciding(rule)
        self._lock = threading.Lock()
        self._predictions: list[int] = []
        self._sums: dict[str, float] = dict.fromkeys(_OWN_SUMS, 0)

    def add(self, **values: float) -> None:
        """Add to sums, by their names in `Counts`."""
        with self._lock:
            for name, value in values.items():
                self._sums[name] += value

    def predicted(self, predictions: torch.Tensor) -> None:
        """Count predictions by their value or class, as `Predictor.outputs` gives them."""
        import torch

        bins, size = self._task.bins(predictions)
        # What lies outside of the histogram counts in its outer steps.
        found = torch.bincount(bins.clamp(0, size - 1), minlength=size).tolist()
        with self._lock:
            held = self._predictions or [0] * size
            self._predictions = [old + new for old, new in zip(held, found, strict=True)]

    def read(self, answers: AnswerTotals) -> Counts:
        """The counters so far, together with those of the version's requests."""
        with self._lock:
            return Counts(
                requests=answers.requests,
                failed=answers.failed,
                refused=answers.refused,
                latency=answers.latency,
                predictions=tuple(self._predictions),
                **self._sums,  # type: ignore[arg-type]
            )
