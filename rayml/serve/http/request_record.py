"""The record of a request, made once when it is answered: metrics, logs and guards count it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# The status of a request whose client left before its answer; nginx uses the same number.
CLIENT_GONE = 499


# Not frozen, which would make it four times as slow to make.
@dataclass(slots=True)
class RequestRecord:
    """One answered request, of any protocol; it is not changed once it is made.

    Attributes:
        id: of the request.
        method: of HTTP; `POST` for gRPC.
        path: as the client sent it.
        route: that answered, as `/v2/models/{name}/infer`; empty if there is none. It has no
            text of clients, so that the routes of an endpoint are few.
        model: name of the model.
        version: of the model that answered.
        chosen: whether the version was chosen to predict. It was not for a page, nor for a request
            that was refused before, which carries the champion's version.
        status: of HTTP; that of gRPC is the one that the same answer has over HTTP. 499 if the
            client left.
        started: when it came, in seconds of `time.perf_counter`, as all other times.
        received: when its body was complete; 0 if none was read.
        parsed: when its rows were ready to predict; 0 if it did not come that far.
        ended: when the answer was handed to the server.
        rows: that were parsed.
        bytes_in: of the body.
        bytes_out: of the answer's body.
        client: address that it came from.
        holder: name of the holder of the key that it brought; None without keys.
        trace: the `traceparent` that it came with.
    """

    id: str
    method: str
    path: str
    route: str
    model: str
    version: str
    chosen: bool
    status: int
    started: float
    received: float
    parsed: float
    ended: float
    rows: int
    bytes_in: int
    bytes_out: int
    client: str
    holder: str | None
    trace: bytes | None

    @property
    def seconds(self) -> float:
        """From the request to its answer."""
        return self.ended - self.started


Observer = Callable[[RequestRecord], None]


def ignore(record: RequestRecord) -> None:
    """Do nothing with a record."""


def observers(*each: Observer) -> Observer:
    """One observer that gives each record to several."""
    if len(each) == 1:
        return each[0]

    def observe(record: RequestRecord) -> None:
        for observer in each:
            observer(record)

    return observe
