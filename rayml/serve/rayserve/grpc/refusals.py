"""Calls that fail end in trailers alone.

A handler that sets a status and returns, as those of Ray Serve do, sends head, an empty message and
trailers. A head means to a client that the server has taken the call in: no policy of retries sends
it again, whatever its status. https://github.com/grpc/proposal/blob/master/A6-client-retries.md
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

Handler = Callable[[Any, Any], Awaitable[bytes]]


def ending_in_trailers(factory: Callable[..., Any]) -> Callable[..., Any]:
    """Make a factory of handlers whose failures can be sent again.

    Args:
        factory: of handlers; those that answer with one message are changed.
    """

    def make(**what: Any) -> Any:
        handler = factory(**what)
        return _aborting(handler) if inspect.iscoroutinefunction(handler) else handler

    return make


def _aborting(handler: Handler) -> Handler:
    async def answer(request: Any, context: Any) -> bytes:
        message = await handler(request, context)
        code = context.code()
        if code and code is not grpc.StatusCode.OK:
            await context.abort(code, context.details(), context.trailing_metadata())
        return message

    return answer
