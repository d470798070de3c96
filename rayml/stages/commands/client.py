"""Asks an endpoint for a prediction, over HTTP as any client would."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """Status and body of an HTTP response."""

    status: int
    body: bytes


def ask(
    url: str, body: Mapping[str, Any], *, key: str | None = None, timeout_s: float = 30.0
) -> Answer:
    """POST a JSON body; an error of the endpoint is an answer too.

    Args:
        url: of the caller's own endpoint; a proxy of the environment is not used.
        body: sent as JSON.
        key: of the endpoint; None if it asks for none.
        timeout_s: seconds to wait for the answer.
    """
    headers = {"content-type": "application/json"}
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    request = urllib.request.Request(  # noqa: S310 - the caller's own endpoint
        url, json.dumps(body).encode(), headers
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout_s) as response:
            return Answer(response.status, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read())
