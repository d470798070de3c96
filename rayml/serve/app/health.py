"""Answers that are made beforehand: health, and the pages of a version."""

from __future__ import annotations

from rayml.serve.http.messages import Request, Response, json_response
from rayml.serve.model.served import ServedModel

_ALIVE = json_response({"status": "alive"})
_READY = json_response({"status": "ready"})


async def alive(_request: Request, _model: ServedModel) -> Response:
    """Answer that the process is alive."""
    return _ALIVE


async def ready(_request: Request, _model: ServedModel) -> Response:
    """Answer that the model predicts: an app without one does not exist."""
    return _READY


async def described(request: Request, model: ServedModel) -> Response:
    """Answer with a page of the version."""
    return model.pages[request.path]
