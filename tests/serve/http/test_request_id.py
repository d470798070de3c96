"""The id of a request."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.serve.http.request_id import request_id, trace_parts

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()
SAFE = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)


@pytest.mark.parametrize("given", [b"a", b"7c1b-01/x.Y:z_=@+", b"z" * 128])
def test_the_clients_own_id_is_kept(given: bytes) -> None:
    assert request_id({b"x-request-id": given, b"traceparent": PARENT}) == given.decode()


@pytest.mark.parametrize("given", [b"", b"z" * 129, b"a b", b'a"b', b"a\nb", "ä".encode(), b"\xff"])
def test_an_id_that_is_no_name_is_replaced(given: bytes) -> None:
    assert request_id({b"x-request-id": given, b"traceparent": PARENT}) == TRACE
    assert re.fullmatch("[0-9a-f]{32}", request_id({b"x-request-id": given}))


@given(st.dictionaries(st.sampled_from([b"x-request-id", b"traceparent"]), st.binary()))
def test_whatever_comes_the_id_is_safe_to_log(headers: dict[bytes, bytes]) -> None:
    assert SAFE.fullmatch(request_id(headers))


def test_ids_that_are_made_differ() -> None:
    assert len({request_id({}) for _ in range(1000)}) == 1000


def test_a_traceparent_is_split() -> None:
    assert trace_parts(PARENT) == (TRACE, SPAN, True)
    assert trace_parts(PARENT[:-2] + b"00") == (TRACE, SPAN, False)
    # A later version may add parts and flags.
    assert trace_parts(b"cc" + PARENT[2:-2] + b"03-what") == (TRACE, SPAN, True)


@pytest.mark.parametrize(
    "parent",
    [
        b"",
        b"00",
        PARENT + b"-more",
        PARENT.upper(),
        b"ff" + PARENT[2:],
        PARENT[:-1],
        PARENT.replace(TRACE.encode(), b"0" * 32),
        PARENT.replace(SPAN.encode(), b"0" * 16),
        PARENT.replace(b"4bf9", b"4bfg"),
    ],
)
def test_a_malformed_traceparent_counts_for_nothing(parent: bytes) -> None:
    assert trace_parts(parent) is None
