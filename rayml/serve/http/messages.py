"""Requests, answers and errors of an ASGI endpoint.

Every error is `{"error": "text"}`, with `row` and `column` beside it where they are known. The
Open Inference Protocol v2 asks for the same, so all paths can keep it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol
from urllib.parse import parse_qs

from pydantic_core import to_json

from rayml.errors import RequestError
from rayml.serve.http.body import BodyRoom, Message, Receive, read_body
from rayml.serve.http.request_id import request_id
from rayml.serve.http.request_record import RequestRecord

Scope = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

JSON = b"application/json"
# A browser must not guess that an answer is HTML.
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")


class ModelVersion(Protocol):
    """The version of a model that answers a request, as far as HTTP names it."""

    @property
    def name(self) -> str:
        """Of the model."""
        ...

    @property
    def version(self) -> str:
        """Its number in the registry."""
        ...

    @property
    def headers(self) -> Headers:
        """Headers of each of its answers."""
        ...


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: status, body, its content type, and further headers."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: Headers = field(default=())

    async def send(self, send: Send, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Send the answer with the headers that every answer carries."""
        fixed = (
            (b"content-type", self.content_type),
            (b"content-length", b"%d" % len(self.body)),
            _NO_SNIFFING,
        )
        await send(
            {
                "type": "http.response.start",
                "status": self.status,
                "headers": [*fixed, *headers, *self.headers],
            }
        )
        await send({"type": "http.response.body", "body": self.body})


class Request:
    """One request of HTTP.

    Attributes:
        path: without the prefix that the endpoint is mounted at.
        receive: of ASGI, gives the body's chunks.
        parameters: of the path, by their names in its route.
        model: the version that answers, once it is known.
        chosen: whether that was chosen to predict.
        versions: that are ready; empty for a prediction.
        holder: name of the holder of the key that it brought; None without keys.
        id: see `request_id`.
        route: path of the route that answers it; empty until one is found.
        started: when it came, in seconds of `time.perf_counter`.
        received: when its body was complete; 0 before.
        parsed: when its rows were ready to predict; 0 before.
        bytes: of its body, decoded.
        rows: that were parsed.

    Args:
        scope: of ASGI.
        receive: gives the body's chunks.
        max_body_bytes: a larger body is refused.
        room: that larger bodies share.
    """

    __slots__ = (
        "_body",
        "_headers",
        "_held",
        "_max_body_bytes",
        "_room",
        "_scope",
        "bytes",
        "chosen",
        "holder",
        "id",
        "method",
        "model",
        "parameters",
        "parsed",
        "path",
        "receive",
        "received",
        "route",
        "rows",
        "started",
        "versions",
    )

    def __init__(
        self, scope: Scope, receive: Receive, *, max_body_bytes: int, room: BodyRoom
    ) -> None:
        self.started = perf_counter()
        self._scope = scope
        self.receive = receive
        self._max_body_bytes = max_body_bytes
        self._room = room
        self._held = 0
        self._headers: dict[bytes, bytes] | None = None
        self._body: bytes | None = None
        self.model: ModelVersion | None = None
        self.chosen = False
        self.versions: tuple[str, ...] = ()
        self.method: str = scope["method"]
        self.path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        self.parameters: dict[str, str] = {}
        self.holder: str | None = None
        self.id = request_id(self.headers)
        self.route = ""
        self.received = self.parsed = 0.0
        self.bytes = self.rows = 0

    @property
    def headers(self) -> dict[bytes, bytes]:
        """Headers by their names in lower case; of a repeated one the last."""
        if self._headers is None:
            self._headers = dict(self._scope["headers"])
        return self._headers

    def query(self, name: str) -> str | None:
        """A parameter of the query, of a repeated one the last; None if it is absent."""
        given = self._scope.get("query_string", b"")
        if not given:
            return None
        try:
            found = parse_qs(given.decode("latin-1"), keep_blank_values=True, max_num_fields=100)
        except ValueError as error:
            raise RequestError(
                "the query of the address has over 100 fields", status=400
            ) from error
        return found[name][-1] if name in found else None

    @property
    def address(self) -> str:
        """Address of the client, as the ingress passes it on."""
        client = self._scope.get("client")
        return client[0] if client else ""

    @property
    def attached(self) -> Any:
        """The body as a message that gRPC has read already; None over HTTP."""
        return self._scope.get("rayml.attached")

    async def body(self) -> bytes:
        """Read the body, decoded; it is not kept.

        Raises:
            RequestError: 413 as soon as it is known to be too large, 415 if its encoding is
                unknown, 400 if it is not what its encoding says, 503 if too many large ones wait.
            ClientGoneError: the client left.
        """
        if self._body is not None:
            body, self._body = self._body, None
            return body
        body = await read_body(
            self.headers, self.receive, limit=self._max_body_bytes, hold=self._hold
        )
        self.received = perf_counter()
        self.bytes = len(body)
        return body

    async def peek_body(self) -> bytes:
        """Read the body, and keep it for the next call of `body`, whose errors it raises."""
        self._body = await self.body()
        return self._body

    def is_read(self) -> bool:
        """Whether its body is complete."""
        return self.received > 0

    def close(self) -> None:
        """Release the room that the body holds, once the request is answered."""
        if self._held:
            self._room.give(self._held)
            self._held = 0

    def has_rows(self, count: int) -> None:
        """Note the number of its rows, and the time when they are parsed."""
        self.parsed = perf_counter()
        self.rows = count

    def record(self, answering: ModelVersion, status: int, bytes_out: int) -> RequestRecord:
        """Make its record, once it is answered.

        Args:
            answering: the version that answers.
            status: of the answer.
            bytes_out: of its body.
        """
        return RequestRecord(
            id=self.id,
            method=self.method,
            path=self.path,
            route=self.route,
            model=answering.name,
            version=answering.version,
            chosen=self.chosen,
            status=status,
            started=self.started,
            received=self.received,
            parsed=self.parsed,
            ended=perf_counter(),
            rows=self.rows,
            bytes_in=self.bytes,
            bytes_out=bytes_out,
            client=self.address,
            holder=self.holder,
            trace=self.headers.get(b"traceparent"),
        )

    def _hold(self, size: int) -> None:
        self._room.take(size)
        self._held += size


def json_response(content: object, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(status, to_json(content))


def error_response(status: int, message: str, headers: Headers = (), **place: object) -> Response:
    """Answer with an error, and with the row and column that it names."""
    named = {key: value for key, value in place.items() if value is not None}
    return Response(status, to_json({"error": message, **named}), headers=headers)


def refusal(error: RequestError) -> Response:
    """Answer with the status and the message of an error."""
    return error_response(
        error.status, str(error), error.headers, row=error.row, column=error.column
    )
