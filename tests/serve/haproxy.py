"""HAProxy as Ray Serve runs it, without Ray."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from rayml.serve.ingress.haproxy_config import BUFFER_BYTES, RETRY_ON
from rayml.serve.ingress.ports import Ports
from tests.processes import command, descendants


class Server(Protocol):
    """What stands for a replica."""

    @property
    def name(self) -> str:
        """Its name in HAProxy."""
        ...

    @property
    def port(self) -> int:
        """Of the loopback address."""
        ...


def run(test: Callable[[Path], Coroutine[Any, Any, None]]) -> Callable[[None], None]:
    """A test of pytest's, with a folder whose name is short enough for sockets in it."""

    def synchronous(wrapped: None) -> None:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(asyncio.wait_for(test(Path(folder)), 100))

    return synchronous


class Ingress:
    """Ray Serve's own handling of HAProxy, without Ray."""

    def __init__(self, folder: Path, port: int, ports: tuple[int, int], grpc_port: int = 0) -> None:
        from ray.serve._private.haproxy import HAProxyApi, HAProxyConfig
        from ray.serve.config import HTTPOptions, gRPCOptions

        self.port = port
        self.grpc_port = grpc_port
        self.folder = folder / "node"
        config = HAProxyConfig(
            http_options=HTTPOptions(host="127.0.0.1", port=port),
            grpc_options=gRPCOptions(
                port=grpc_port or port,
                grpc_servicer_functions=["rayml.serve.grpc.handlers.add_to_server"]
                if grpc_port
                else [],
            ),
            socket_path=str(self.folder / "admin.sock"),
            server_state_base=str(self.folder),
            server_state_file=str(self.folder / "server-state"),
            metrics_socket_path=str(self.folder / "metrics.sock"),
            stats_port=ports[0],
            metrics_port=ports[1],
            retry_on=RETRY_ON,
            bufsize=BUFFER_BYTES,
            observe_error_limit=1,
            health_check_inter="1s",
        )
        self.api = HAProxyApi(config, config_file_path=str(self.folder / "haproxy.cfg"))

    def route_to(self, *servers: Server) -> None:
        """Have requests answered by these from the next reload on."""
        from ray.serve._private.common import RequestProtocol
        from ray.serve._private.haproxy import BackendConfig, ServerConfig

        known = [ServerConfig(each.name, "127.0.0.1", each.port) for each in servers]
        protocol = RequestProtocol.GRPC if self.grpc_port else RequestProtocol.HTTP
        app = BackendConfig("app", "/", protocol=protocol, servers=known, app_name="app")
        self.api.set_backend_configs({"app": app})

    def say(self, command: str) -> bytes:
        """What HAProxy answers to a command."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.folder / "admin.sock"))
            connection.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b""))

    @property
    def keeper(self) -> int:
        """The process of the keeper that Serve started last."""
        process = self.api._proc
        assert process is not None
        return process.pid

    def haproxy(self) -> int:
        """The process of HAProxy that runs now; 0 while there is none."""
        return next((pid for pid in descendants(self.keeper) if is_haproxy(pid)), 0)


def is_haproxy(pid: int) -> bool:
    """Whether a process is HAProxy itself, and neither its keeper nor that one's spare."""
    return b"-db" in command(pid) and b"haproxy_keeper" not in command(pid)


@asynccontextmanager
async def ingress(folder: Path, *servers: Server, grpc: bool = False) -> AsyncIterator[Ingress]:
    """Ray Serve's HAProxy in front of servers of HTTP, or of gRPC."""
    held = Ports()
    port, stats, metrics, grpc_port = (held.choose() for _ in range(4))
    running = Ingress(folder, port, (stats, metrics), grpc_port if grpc else 0)
    try:
        await running.api.start()
        if servers:
            running.route_to(*servers)
            await running.api.reload()
        yield running
    finally:
        keeper = running.keeper
        below = descendants(keeper)
        await running.api.stop()
        held.release()
        # Whoever ends an endpoint removes its folder, which tells the spare of a killed keeper.
        running.folder.rename(running.folder.with_name(f"gone-{keeper}"))
        while any(b"haproxy_keeper" in command(pid) for pid in below):
            await asyncio.sleep(0.01)
