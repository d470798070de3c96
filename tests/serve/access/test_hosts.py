"""Names that an endpoint answers to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.serve.access.hosts import Hosts

LOOPBACK = ["localhost", "LocalHost:8000", "localhost.", "127.0.0.1", "127.0.0.1:8000", "[::1]:9"]
ADDRESSES = ["192.0.2.7", "192.0.2.7:8000", "[2001:db8::1]", "[2001:db8::1]:8000"]
FOREIGN = [
    "evil.example",
    "evil.example:8000",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil.example:127.0.0.1",
    "127.0.0.1@evil.example",
    "localhost/",
    "localhost:port",
    "127.0.0.1, evil.example",
    "",
    "[::1",
    "2130706433.example",
    "[evil.example]",
]


@pytest.mark.parametrize("bound", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_on_loopback_it_answers_to_this_machine_alone(bound: str) -> None:
    hosts = Hosts(bound=bound)
    for _ in range(2):  # what came before is remembered
        assert [host for host in LOOPBACK if not hosts.knows(host.encode())] == []
        assert [host for host in [*ADDRESSES, *FOREIGN] if hosts.knows(host.encode())] == []


@pytest.mark.parametrize("bound", ["0.0.0.0", "::", "192.0.2.1"])
def test_elsewhere_it_answers_to_addresses_which_nobody_can_rebind(bound: str) -> None:
    hosts = Hosts(bound=bound)
    assert [host for host in [*LOOPBACK, *ADDRESSES] if not hosts.knows(host.encode())] == []
    assert [host for host in FOREIGN if hosts.knows(host.encode())] == []


def test_names_are_added_with_a_port_or_for_all_ports() -> None:
    hosts = Hosts(bound="127.0.0.1", names=["Shop.Example", "lab.example:8443"])
    known = ["shop.example", "SHOP.example:1", "shop.example.:8000", "lab.example:8443"]
    assert all(hosts.knows(each.encode()) for each in known)
    for each in ("lab.example", "lab.example:8444", "a.shop.example", "shop.example:8000:1"):
        assert not hosts.knows(each.encode())


def test_any_name_is_a_choice() -> None:
    assert Hosts(bound="127.0.0.1", names=["*"]).knows(b"evil.example")


def test_memory_is_bounded() -> None:
    hosts = Hosts(bound="127.0.0.1")
    for port in range(3000):
        assert hosts.knows(b"localhost:%d" % port)
    assert len(hosts._seen) == 1000


@given(st.binary(max_size=40))
def test_no_host_breaks_it_and_what_is_known_is_this_machine(host: bytes) -> None:
    if Hosts(bound="127.0.0.1").knows(host):
        assert host.lower().startswith((b"localhost", b"127.", b"[::1]", b"[0", b"[::", b"::1"))


def test_it_answers_to_the_name_that_it_is_bound_to() -> None:
    hosts = Hosts(bound="Shop.example")
    assert hosts.knows(b"shop.example:8000")
    assert not hosts.knows(b"evil.shop.example")
