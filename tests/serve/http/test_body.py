"""Bodies are read no further than their limits, whatever they stand for."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.errors import RequestError
from rayml.serve.http.body import SMALL_BODY_BYTES, BodyRoom, ClientGoneError, read_body

LIMIT = 1000
CODES: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "X-GZip": gzip.compress,
    "deflate": zlib.compress,
    "identity": bytes,
    "": bytes,
}


def read(
    chunks: list[bytes], *, limit: int = LIMIT, held: list[int] | None = None, **headers: str
) -> bytes:
    messages = iter(
        {"type": "http.request", "body": chunk, "more_body": i + 1 < len(chunks)}
        for i, chunk in enumerate(chunks)
    )

    async def receive() -> dict[str, object]:
        return next(messages)

    names = {key.replace("_", "-").encode(): value.encode() for key, value in headers.items()}
    hold = (held if held is not None else []).append
    return asyncio.run(read_body(names, receive, limit=limit, hold=hold))


def refused(chunks: list[bytes], **arguments: object) -> RequestError:
    with pytest.raises(RequestError) as caught:
        read(chunks, **arguments)  # type: ignore[arg-type]
    return caught.value


def pieces(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)] or [b""]


@given(st.binary(max_size=LIMIT), st.sampled_from(list(CODES)), st.integers(1, 400))
def test_a_body_is_decoded_however_it_is_cut(body: bytes, encoding: str, size: int) -> None:
    sent = CODES[encoding](body)
    if len(sent) <= LIMIT:
        assert read(pieces(sent, size), content_encoding=encoding) == body


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]), st.integers(1, 50))
def test_bytes_that_are_no_stream_are_refused(body: bytes, encoding: str, size: int) -> None:
    assert refused(pieces(body, size), content_encoding=encoding).status in {400, 413}


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_stream_that_is_cut_or_goes_on_is_refused(encoding: str) -> None:
    sent = CODES[encoding](b"x" * 500)
    for wrong in (sent[:-1], sent + b"!", sent + sent):
        for size in (len(wrong), 1):
            error = refused(pieces(wrong, size), content_encoding=encoding)
            assert error.status == 400
            assert encoding in str(error)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip,deflate", "compress", "é"])
def test_an_unknown_or_stacked_encoding_is_refused_with_those_that_are_known(encoding: str) -> None:
    error = refused([b""], content_encoding=encoding)
    assert error.status == 415
    assert dict(error.headers) == {b"accept-encoding": b"gzip, deflate, identity"}


def test_the_limit_holds_for_what_is_sent_and_for_what_it_stands_for() -> None:
    assert len(read([b"x" * LIMIT])) == LIMIT
    assert refused([b"x" * LIMIT, b"x"]).status == 413
    assert refused([b""], content_length=str(LIMIT + 1)).status == 413
    assert refused([b""], content_length="9" * 5000).status == 413
    for encoding in ("gzip", "deflate"):
        code = CODES[encoding]
        assert len(read([code(b"x" * LIMIT)], content_encoding=encoding)) == LIMIT
        error = refused([code(b"x" * (LIMIT + 1))], content_encoding=encoding)
        assert error.status == 413
        assert "decoded" in str(error)


def test_a_body_holds_what_is_larger_than_small() -> None:
    held: list[int] = []
    read([b"x" * SMALL_BODY_BYTES], limit=10**6, held=held)
    assert held == []
    read(pieces(b"x" * 200_000, 50_000), limit=10**6, held=held)
    assert sum(held) == 200_000 - SMALL_BODY_BYTES
    held.clear()
    read([gzip.compress(b"x" * 200_000)], limit=10**6, held=held, content_encoding="gzip")
    assert sum(held) == 200_000 - SMALL_BODY_BYTES


def test_a_room_that_is_full_says_when_to_come_again() -> None:
    room = BodyRoom(100)
    room.take(60)
    with pytest.raises(RequestError) as caught:
        room.take(41)
    assert (caught.value.status, caught.value.headers) == (503, ((b"retry-after", b"1"),))
    room.give(60)
    room.take(100)
    assert room.left == 0


def test_a_client_that_leaves_ends_it() -> None:
    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientGoneError):
        asyncio.run(read_body({}, receive, limit=LIMIT, hold=print))


BOMB = """
    import asyncio, gzip, resource, zlib
    from rayml.serve.http.body import read_body
    from rayml.errors import RequestError

    # 3 GB of zeros as deflate writes them: one stored kilobyte, over and over.
    code = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(2**20)
    sent = b"".join([code.compress(zeros) for _ in range(3000)]) + code.flush()
    chunks = [sent[at : at + 65536] for at in range(0, len(sent), 65536)]

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    async def attempt():
        source = iter(chunks)
        async def receive():
            return {"type": "http.request", "body": next(source), "more_body": True}
        try:
            await read_body(
                {b"content-encoding": b"gzip"}, receive, limit=8 * 2**20, hold=lambda _: None
            )
        except RequestError as error:
            return error.status

    before = peak()
    statuses = {asyncio.run(attempt()) for _ in range(5)}
    print(len(sent), *statuses, peak() - before)
"""


def test_a_bomb_of_gigabytes_costs_a_few_limits_of_memory() -> None:
    """As the process itself is charged, in one that does nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BOMB)], capture_output=True, text=True, check=True
    )
    sent, status, grown = map(int, done.stdout.split())
    assert sent < 8 * 2**20
    assert status == 413
    assert grown < 3 * 8 * 2**20
