"""Messages arrive whole and in order, however the bytes come."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.serve.supervise.messages import Messages, pair

PLAIN = st.dictionaries(
    st.text(max_size=9), st.none() | st.integers() | st.text(max_size=9), max_size=3
)


@given(messages=st.lists(PLAIN, min_size=1, max_size=5), cut=st.integers(1, 40))
def test_messages_come_as_they_were_sent(messages: list[dict[str, object]], cut: int) -> None:
    own, other = pair()
    plain, peer = socket.socketpair()
    sender, receiver = Messages(other), Messages(peer)
    for message in messages:
        assert sender.send(message)
    sender.close()
    data = b"".join(iter(lambda: own._end.recv(65536), b""))
    # As much as a socket holds, of which small pieces take more than their size.
    for start in range(0, len(data), max(cut, len(data) // 50)):
        plain.sendall(data[start : start + max(cut, len(data) // 50)])
    assert [receiver.receive() for _ in messages] == messages
    assert not receiver.pending
    own.close()
    receiver.close()
    plain.close()


@pytest.mark.parametrize("torn", [b"", b'{"a": '])
def test_the_end_of_the_other_side_is_heard(torn: bytes) -> None:
    own, other = pair()
    other.sendall(torn)
    other.close()
    assert own.receive() is None
    assert not own.send({})
    own.close()
