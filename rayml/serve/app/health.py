"""Answers that are ready before they are asked for: health, and what describes the model."""

from __future__ import annotations

from rayml.serve.http.messages import Request, Response, json_response
from rayml.serve.model.served import ServedModel

_ALIVE = json_response({"status": "alive"})
_READY = json_response({"status": "ready"})


async def alive(_request: Request, _model: ServedModel) -> Response:
    """Say that the process answers."""
    return _ALIVE


async def ready(_request: Request, _model: ServedModel) -> Response:
    """Say that the model predicts: an app without one does not exist."""
    return _READY


async def described(request: Request, model: ServedModel) -> Response:
    """Give a page of the version that is served."""
    return model.pages[request.path]
