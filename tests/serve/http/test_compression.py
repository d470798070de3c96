"""Which answers are compressed, and by what."""

from __future__ import annotations

import gzip
import zlib

import pytest

from rayml.serve.http.compression import MIN_BYTES, choose, compressed
from rayml.serve.http.messages import Response

LONG = Response(200, b"0123456789" * MIN_BYTES)


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("GZIP;q=0.5, deflate;q=0.8", "deflate"),
        ("*", "gzip"),
        ("gzip;q=0, *;q=0.1", "deflate"),
        ("identity", None),
        ("br;q=1", None),
        ("gzip;q=0", None),
        ("gzip;q=x", None),
        ("", None),
    ],
)
def test_the_client_chooses(accepted: str, chosen: str | None) -> None:
    assert choose(accepted) == chosen


@pytest.mark.parametrize(
    ("encoding", "unpack"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)]
)
def test_a_long_answer_is_compressed(encoding: str, unpack: object) -> None:
    packed = compressed(LONG, {b"accept-encoding": encoding.encode()})
    assert len(packed.body) < len(LONG.body) / 10
    assert unpack(packed.body) == LONG.body  # type: ignore[operator]
    assert (b"content-encoding", encoding.encode()) in packed.headers
    assert (b"vary", b"accept-encoding") in packed.headers


def test_others_are_sent_as_they_are() -> None:
    assert compressed(LONG, {}) is LONG
    assert compressed(LONG, {b"accept-encoding": b"br"}) is LONG
    short = Response(200, b"{}")
    assert compressed(short, {b"accept-encoding": b"gzip"}) is short
