"""`/feedback`: rows whose labels are known now, by which the loss of each version is measured.

The rows come with their labels, so that champion and canary predict the very same ones and their
losses are compared pair by pair; no replica has to remember what it once answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic_core import to_json

from rayml.errors import RequestError, StorageError
from rayml.serve.http.messages import Request, Response, json_response
from rayml.serve.release.counted_rows import mark
from rayml.serve.release.feedback_request import (
    read_feedback,
    require_json,
    row_names,
    truth,
)

if TYPE_CHECKING:
    from rayml.serve.model.served import ServedModel
    from rayml.serve.release.counters import VersionCounter
    from rayml.serve.release.release import ReleaseServing, RunningCanary

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Measured:
    """The losses of a version, row by row, and which rows count for it."""

    version: str
    losses: list[float]
    new: list[bool]


class Feedback:
    """Answers `POST /feedback` with `{"rows": [...], "labels": [...], "ids": [...]}`.

    A row counts once for a version and once in a comparison, however often it is sent, and to
    whichever replica. Its id identifies it; without ids its values do, so that of rows with equal
    values only the first counts.

    Args:
        serving: whose versions are measured.
        claim: stores marks, and gives which are new; see `CountedRows.claim`.
    """

    def __init__(
        self, serving: ReleaseServing, claim: Callable[[Sequence[bytes]], list[bool]]
    ) -> None:
        self._serving = serving
        self._claim = claim

    async def __call__(self, request: Request, _chosen: ServedModel) -> Response:
        """Measure champion and canary on labelled rows.

        Returns:
            The number of rows, how many of them count, and the mean loss of each version on them
            all, see `Task.losses`.

        Raises:
            RequestError: 415 if the Content-Type is not JSON, 400 or 422 if the body does not have
                rows with as many labels, 503 if the marks of the rows cannot be stored.
        """
        require_json(request.headers)
        plan = self._serving.plan
        champion, canary = plan.champion, plan.canary
        sent = read_feedback(await request.body())
        task = champion.predictor.task
        truths = [truth(label, task, row) for row, label in enumerate(sent.labels)]
        parsed = champion.parser.parse(to_json({"rows": sent.rows}))
        names = row_names(sent, parsed)
        models = [champion, *([canary.model] if canary else [])]
        losses = []
        for model in models:
            rows = model.parser.parse(to_json({"rows": sent.rows}))
            losses.append(task.losses(await model.predict_rows(rows), truths))
        scopes = [f"version {model.version}" for model in models]
        scopes += [f"canary {canary.since}"] if canary else []
        new = await self._claimed(scopes, names)
        measured = [
            _Measured(model.version, own, each)
            for model, own, each in zip(models, losses, new, strict=False)
        ]
        for each in measured:
            if (counter := self._serving.counters.get(each.version)) is not None:
                _count(counter, each.losses, each.new)
        if canary is not None:
            _compare(canary, measured, new[-1])
        counted = sum(map(any, zip(*new, strict=True)))
        means = {each.version: sum(each.losses) / len(each.losses) for each in measured}
        return json_response({"rows": len(parsed), "counted": counted, "loss": means})

    async def _claimed(self, scopes: Sequence[str], names: Sequence[str]) -> list[list[bool]]:
        """For each scope, which rows are new there; files are read in a thread.

        Raises:
            RequestError: 503 if the file cannot be used.
        """
        marks = [mark(scope, name) for scope in scopes for name in names]
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(None, self._claim, marks)
        except (OSError, StorageError) as error:
            _log.error("feedback cannot be counted: %s", error)
            raise RequestError(
                "labels cannot be counted now, as the endpoint's log says",
                status=503,
                remedy="Send them again later",
                headers=((b"retry-after", b"60"),),
            ) from None
        size = len(names)
        return [found[start : start + size] for start in range(0, len(found), size)]


def _count(counter: VersionCounter, losses: Sequence[float], new: Sequence[bool]) -> None:
    kept = [loss for loss, is_new in zip(losses, new, strict=True) if is_new]
    counter.add(labels=len(kept), loss=sum(kept), loss_squared=sum(loss**2 for loss in kept))


def _compare(canary: RunningCanary, measured: Sequence[_Measured], new: Sequence[bool]) -> None:
    """Count champion and canary, which come in this order, pair by pair."""
    for each in measured:
        if (counter := canary.counters.get(each.version)) is not None:
            _count(counter, each.losses, new)
    own, other = measured
    pairs = zip(own.losses, other.losses, new, strict=True)
    excess = [theirs - ours for ours, theirs, is_new in pairs if is_new]
    canary.counters[other.version].add(
        paired=len(excess),
        excess=sum(excess),
        excess_squared=sum(each**2 for each in excess),
    )
