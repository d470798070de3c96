"""A port that was chosen is nobody else's until it is released."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from rayml.errors import ServeError
from rayml.serve.ingress import ports as module
from rayml.serve.ingress.ports import Ports


def bind(port: int, *options: int, host: str = "127.0.0.1") -> socket.socket:
    """A socket that listens as a server with these options does."""
    server = socket.socket()
    try:
        for option in options:
            server.setsockopt(socket.SOL_SOCKET, option, 1)
        server.bind((host, port))
        server.listen()
    except OSError:
        server.close()
        raise
    return server


@pytest.mark.parametrize("asked", [0, 1])
def test_others_are_kept_away_and_a_sharing_server_is_not(ports: Ports, asked: int) -> None:
    fixed = ports.choose()
    ports.release()
    port = ports.hold("127.0.0.1", fixed * asked, "serve.port")
    for options in ((), (socket.SO_REUSEADDR,)):
        with pytest.raises(OSError, match="in use"):
            bind(port, *options)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    with bind(port, socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    ports.release()
    bind(port, socket.SO_REUSEADDR).close()


def test_an_outgoing_connection_does_not_take_it(ports: Ports) -> None:
    port = ports.choose()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(OSError, match="in use"),
    ):
        socket.create_connection(server.getsockname(), source_address=("127.0.0.1", port))


def test_a_port_of_one_is_not_another_ones(ports: Ports) -> None:
    """Though both would share it."""
    port = ports.hold("127.0.0.1", 0, "serve.port")
    with pytest.raises(ServeError) as caught:
        ports.hold("127.0.0.1", port, "serve.grpc.port")
    said = f"port {port} is already in use; choose another with serve.grpc.port"
    assert str(caught.value) == said


def test_a_port_whose_last_connections_linger_is_free(ports: Ports) -> None:
    with bind(0, socket.SO_REUSEADDR) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()
    assert ports.hold("127.0.0.1", port, "serve.port") == port
    with pytest.raises(OSError, match="in use"):
        bind(port, socket.SO_REUSEADDR)
    bind(port, socket.SO_REUSEADDR, socket.SO_REUSEPORT).close()


def test_what_cannot_be_opened_is_said_in_one_line(ports: Ports) -> None:
    with pytest.raises(
        ServeError, match=r"192\.0\.2\.1 cannot be opened .*check serve\.host and serve\.port"
    ):
        ports.hold("192.0.2.1", 8000, "serve.port")


def test_one_that_is_chosen_is_outside_the_range_of_outgoing_connections(ports: Ports) -> None:
    low, high = map(int, module._RANGE.read_text().split())
    chosen = [ports.choose() for _ in range(20)]
    assert len(set(chosen)) == 20
    assert not any(low <= port <= high for port in chosen)


def test_one_that_is_taken_is_passed_over(
    ports: Ports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = ports.choose(), ports.choose()
    ports.release()
    monkeypatch.setattr(module, "_candidates", lambda: [first, second])
    with bind(first):
        assert ports.choose() == second
        with bind(second, socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            assert ports.choose() not in (first, second)


def test_where_all_ports_are_for_outgoing_connections_one_of_them_is_held(
    ports: Ports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = tmp_path / "range"
    everything.write_text("1024\t65535\n")
    monkeypatch.setattr(module, "_RANGE", everything)
    port = ports.choose()
    with pytest.raises(OSError, match="in use"):
        bind(port, socket.SO_REUSEADDR)
