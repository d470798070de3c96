"""A load on an endpoint that counts every request: answered rightly, refused properly, or lost.

    with Load(endpoint.url, questions, arrivals=poisson(200, 30, seed=0)) as load:
        load.wait_for(right=500)
        ...  # what the endpoint must survive
    assert load.report.lost == 0

It runs in a process of its own, over keep-alive connections: as an open loop by a plan of
`rayml.testing.arrivals`, in which the time of a request counts from the moment at which it was due
(so a server that stalls is charged for all who wait), or as a closed loop of `clients`.
"""

from __future__ import annotations

import base64
import json
import math
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from rayml.config.components.trust import ONLY_OWN, Trust
from rayml.errors import ServeError

if TYPE_CHECKING:
    from rayml.serve.predict.row_parser import Row


Value = TypeVar("Value")


@dataclass(frozen=True)
class Question:
    """A request's body, and the JSON that must answer it; None takes any answer of status 200."""

    body: bytes
    answer: Any = None


def questions(bundle: Path, rows: Sequence[Row], trust: Trust = ONLY_OWN) -> list[Question]:
    """One question a row, with the answer that the bundle's own predictor gives."""
    from rayml.serve.predict.predictor import Predictor

    answers = Predictor.load(bundle, trust=trust).predict_rows(rows)
    return [
        Question(json.dumps(row).encode(), {"predictions": [answer]})
        for row, answer in zip(rows, answers, strict=True)
    ]


@dataclass(frozen=True)
class Report:
    """The outcomes of the requests, in the order in which they were due.

    A request is `right` where its answer is the predictor's, else `wrong`; `refused` where it got a
    4xx or 503 in the error form, a 429 or 503 with Retry-After; `unreached` where no connection
    opened; `lost` in all other cases: a connection that broke, a 500, no response in time.

    Attributes:
        due: seconds from the start at which each request was due.
        seconds: seconds from then to its outcome.
        outcomes: its outcome, one of the words above.
        statuses: its HTTP status; 0 without a response.
        broken: whether a connection broke or did not open before its outcome.
        reasons: counts of outcomes other than `right`, by outcome and cause.
    """

    due: list[float]
    seconds: list[float]
    outcomes: list[str]
    statuses: list[int]
    broken: list[bool]
    reasons: dict[str, int]

    def count(self, outcome: str) -> int:
        """Requests with an outcome."""
        return self.outcomes.count(outcome)

    @property
    def right(self) -> int:
        """Requests that were answered as the predictor answers."""
        return self.count("right")

    @property
    def wrong(self) -> int:
        """Requests that were answered otherwise."""
        return self.count("wrong")

    @property
    def refused(self) -> int:
        """Requests that were refused in the error form."""
        return self.count("refused")

    @property
    def unreached(self) -> int:
        """Requests for which no connection opened."""
        return self.count("unreached")

    @property
    def lost(self) -> int:
        """Failed requests."""
        return self.count("lost")

    @property
    def retried(self) -> int:
        """Requests that were answered rightly after a connection broke."""
        return sum(
            broken and outcome == "right"
            for broken, outcome in zip(self.broken, self.outcomes, strict=True)
        )

    def percentile(self, percent: float, *, outcome: str = "right") -> float:
        """Seconds within which a share of the requests with an outcome had it."""
        pairs = zip(self.seconds, self.outcomes, strict=True)
        ordered = sorted(seconds for seconds, each in pairs if each == outcome)
        return (
            ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]
            if ordered
            else math.nan
        )

    def between(self, start: float, end: float) -> Report:
        """The requests that were due in a span; `reasons` stay those of all requests."""
        chosen = [index for index, due in enumerate(self.due) if start <= due < end]

        def part(column: list[Value]) -> list[Value]:
            return [column[index] for index in chosen]

        return Report(
            due=part(self.due),
            seconds=part(self.seconds),
            outcomes=part(self.outcomes),
            statuses=part(self.statuses),
            broken=part(self.broken),
            reasons=self.reasons,
        )

    def __str__(self) -> str:
        parts = [f"{self.count(word)} {word}" for word in sorted({*self.outcomes, "right", "lost"})]
        times = ", ".join(f"p{p} {self.percentile(p) * 1e3:.0f} ms" for p in (50, 99, 100))
        causes = "".join(f"\n  {count} x {reason}" for reason, count in self.reasons.items())
        return f"{len(self.due)} requests: {', '.join(parts)}; {times}{causes}"


class Load:
    """Sends requests from a process of its own while the context lasts, or until its plan ends.

    Leaving the context stops the load, waits for its open requests, and sets `report`; with an open
    loop, `finish` waits for the end of the plan first.

    Args:
        url: base URL of the endpoint.
        questions: the requests, sent one after the other, over and over.
        arrivals: for an open loop, seconds from the start at which requests are due.
        clients: for a closed loop, number of open requests at any time.
        path: path of the requests, which are POSTs.
        headers: further headers of each request.
        connections: most connections; further requests wait, and their time counts.
        patience_s: seconds after which a request counts as lost.
        retry_s: seconds in which a request whose connection broke or did not open is sent again,
            which is safe since predictions change nothing; 0 sends none again.
    """

    def __init__(
        self,
        url: str,
        questions: Sequence[Question],
        *,
        arrivals: Sequence[float] | None = None,
        clients: int = 8,
        path: str = "/predict",
        headers: Mapping[str, str] | None = None,
        connections: int | None = None,
        patience_s: float = 60.0,
        retry_s: float = 0.0,
    ) -> None:
        parts = urlsplit(url)
        self.report: Report
        self._counts: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._job = {
            "host": parts.hostname,
            "port": parts.port,
            "requests": [_request(parts.netloc, path, each.body, headers) for each in questions],
            "answers": [question.answer for question in questions],
            "arrivals": None if arrivals is None else list(arrivals),
            "clients": clients,
            "connections": connections or (clients if arrivals is None else 256),
            "patience_s": patience_s,
            "retry_s": retry_s,
        }

    def __enter__(self) -> Load:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rayml.testing.load_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._write(json.dumps(self._job))
        return self

    def __exit__(self, *_: object) -> None:
        self._write("stop")
        self.finish()

    def wait_for(self, *, seconds: float = 120.0, **outcomes: int) -> None:
        """Wait until so many requests had these outcomes since the start.

        Raises:
            ServeError: they do not come.
        """

        def reached() -> bool:
            return all(self._counts[word] >= count for word, count in outcomes.items())

        with self._changed:
            if not self._changed.wait_for(reached, seconds):
                raise ServeError(
                    f"the load lacks {outcomes} after {seconds:g} s, and has", found=self.counts
                )

    def finish(self) -> Report:
        """Wait until the plan has ended and each request has its outcome."""
        self._reader.join()
        assert self._process.stdin is not None
        self._process.stdin.close()
        if self._process.wait():
            raise ServeError(
                f"the process of the load ended early, with status {self._process.returncode}"
            )
        return self.report

    @property
    def counts(self) -> dict[str, int]:
        """Requests by outcome so far."""
        return dict(self._counts)

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # the process has ended by itself, and `finish` reports it

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            content = json.loads(line)
            with self._changed:
                if "report" in content:
                    self.report = Report(**content["report"])
                else:
                    self._counts = Counter(content)
                self._changed.notify_all()
        self._process.stdout.close()


def _request(host: str, path: str, body: bytes, headers: Mapping[str, str] | None) -> str:
    given = {name.lower(): value for name, value in (headers or {}).items()}
    fields = {"content-type": "application/json", **given, "content-length": str(len(body))}
    lines = [f"POST {path} HTTP/1.1", f"host: {host}", *(f"{k}: {v}" for k, v in fields.items())]
    return base64.b64encode("\r\n".join(lines).encode() + b"\r\n\r\n" + body).decode()
