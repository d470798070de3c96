"""Records of requests as the app makes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rayml.serve.http.request_record import RequestRecord

RECORD = RequestRecord(
    id="seven",
    method="POST",
    path="/predict",
    route="/predict",
    model="boxes",
    version="3",
    chosen=True,
    status=200,
    started=100.0,
    received=100.001,
    parsed=100.003,
    ended=100.02,
    rows=3,
    bytes_in=40,
    bytes_out=90,
    client="10.0.0.7",
    holder=None,
    trace=None,
)


def record(**values: Any) -> RequestRecord:
    """A record like any other, but for some values."""
    return replace(RECORD, **values)
