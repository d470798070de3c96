"""The service `inference.GRPCInferenceService` in front of an endpoint's app.

Each call becomes a request of the app, so that keys, limits, the choice of a version, errors and
what is recorded are the same for both protocols: metadata are its headers, and `ModelInfer` has a
route of its own. The other calls ask what REST asks, so they take its routes and its answers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import quote

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError, Message

from rayml.errors import RequestError
from rayml.serve.grpc import open_inference_pb2 as messages
from rayml.serve.grpc.handlers import Encoded
from rayml.serve.grpc.infer import INFER_PATH, read_infer_request
from rayml.serve.grpc.status import grpc_status

App = Callable[
    [dict[str, Any], Callable[[], Any], Callable[[dict[str, Any]], Any]], Awaitable[None]
]

# Headers of HTTP's framing, which gRPC itself handles.
_FRAMING = ("content-", "grpc-", "transfer-")
# Milliseconds that a client with a policy of retries waits:
# https://github.com/grpc/proposal/blob/master/A6-client-retries.md
_PUSHBACK = "grpc-retry-pushback-ms"
# Metadata of an answer travel in headers, whose size clients limit to 8 KiB by default.
_LONGEST_DETAILS = 2000


class Context(Protocol):
    """The context of a call: gRPC's own, or Ray Serve's."""

    def invocation_metadata(self) -> Any:
        """Metadata of the call."""
        ...

    def peer(self) -> str:
        """Address of the client."""
        ...

    def set_code(self, code: grpc.StatusCode) -> None:
        """Set the status."""
        ...

    def set_details(self, details: str) -> None:
        """Set the text of the status."""
        ...

    def set_trailing_metadata(self, metadata: Any) -> None:
        """Set the metadata that end the answer."""
        ...


class InferenceService:
    """Answers the calls of the service by `_app`; each takes the bytes of a message."""

    _app: App

    async def ServerLive(self, message: bytes, grpc_context: Context) -> Encoded:  # noqa: ARG002, N802
        """Answer that the process is live."""
        return await self._described("/v2/health/live", messages.ServerLiveResponse, grpc_context)

    async def ServerReady(self, message: bytes, grpc_context: Context) -> Encoded:  # noqa: ARG002, N802
        """Answer that the models predict."""
        return await self._described("/v2/health/ready", messages.ServerReadyResponse, grpc_context)

    async def ServerMetadata(self, message: bytes, grpc_context: Context) -> Encoded:  # noqa: ARG002, N802
        """Describe the server."""
        return await self._described("/v2", messages.ServerMetadataResponse, grpc_context)

    async def ModelReady(self, message: bytes, grpc_context: Context) -> Encoded:  # noqa: N802
        """Answer that a model predicts."""
        path = _model_path(messages.ModelReadyRequest, message)
        if path is None:
            return _torn(grpc_context)
        return await self._described(f"{path}/ready", messages.ModelReadyResponse, grpc_context)

    async def ModelMetadata(self, message: bytes, grpc_context: Context) -> Encoded:  # noqa: N802
        """Describe a model."""
        path = _model_path(messages.ModelMetadataRequest, message)
        if path is None:
            return _torn(grpc_context)
        return await self._described(path, messages.ModelMetadataResponse, grpc_context)

    async def ModelInfer(self, message: bytes, grpc_context: Context) -> Encoded:  # noqa: N802
        """Predict from tensors."""
        try:
            call = read_infer_request(message)
        except RequestError as error:
            return _fail(grpc_context, error.status, str(error))
        version = quote(call.model_version, safe="") if call.model_version else ""
        scope = _scope("POST", f"{INFER_PATH}/{version}" if version else INFER_PATH, grpc_context)
        scope["rayml.attached"] = call
        answer = await _ask(self._app, scope, message)
        return answer.encoded(grpc_context)

    async def _described(self, path: str, kind: type[Message], context: Context) -> Encoded:
        answer = await _ask(self._app, _scope("GET", path, context), b"")
        if answer.status == 200:
            message = ParseDict(json.loads(answer.body), kind(), ignore_unknown_fields=True)
            answer.body = message.SerializeToString()
        return answer.encoded(context)


class _Answer:
    """The answer that the app sends."""

    __slots__ = ("body", "headers", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers: Any = ()
        self.body = b""

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
        else:
            self.body += message.get("body", b"")

    def encoded(self, context: Context) -> Encoded:
        """The answer as a message; one without success sets the status of the call."""
        # A list, since Ray Serve adds to it.
        metadata = []
        for name, value in self.headers:
            if name.startswith(b"content-"):
                continue
            metadata.append((name.decode("latin-1").lower(), value.decode("latin-1")))
            if name == b"retry-after":
                metadata.append((_PUSHBACK, f"{int(value)}000"))
        context.set_trailing_metadata(metadata)
        if self.status == 200:
            return Encoded(self.body)
        error = json.loads(self.body)["error"] if self.body else "the client left"
        return _fail(context, self.status, error)


async def _ask(app: App, scope: dict[str, Any], body: bytes) -> _Answer:
    answer = _Answer()
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if left:
            return left.pop()
        # A client that leaves cancels its call.
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    await app(scope, receive, answer.send)
    return answer


def _scope(method: str, path: str, context: Context) -> dict[str, Any]:
    headers = [
        (name.encode("latin-1"), value if isinstance(value, bytes) else value.encode("latin-1"))
        for name, value in context.invocation_metadata()
        if not name.startswith(_FRAMING)
    ]
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": headers,
        "client": _client(context.peer()),
    }


def _client(peer: str) -> tuple[str, int] | None:
    """The address in gRPC's name of a peer, such as `ipv4:127.0.0.1:4711`."""
    address, _, port = peer.partition(":")[2].rpartition(":")
    return (address.strip("[]"), int(port)) if address and port.isdigit() else None


def _model_path(kind: Any, message: bytes) -> str | None:
    """The path of a model or of the version that is named; None for a torn message."""
    try:
        named = kind.FromString(message)
    except DecodeError:
        return None
    path = f"/v2/models/{quote(named.name, safe='')}"
    return f"{path}/versions/{quote(named.version, safe='')}" if named.version else path


def _torn(context: Context) -> Encoded:
    return _fail(context, 400, "the message is not of the type that its call takes")


def _fail(context: Context, status: int, error: str) -> Encoded:
    context.set_code(grpc_status(status))
    context.set_details(error[:_LONGEST_DETAILS])
    return Encoded(b"")
