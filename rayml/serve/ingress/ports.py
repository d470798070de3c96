"""Holds the ports of an endpoint from the moment they are chosen until it ends.

Ray Serve gets its ports as numbers and binds them seconds later, in other processes. A port that
is only checked to be free can go to another process meanwhile, or to an outgoing connection. A
socket that is bound and does not listen keeps the port, except from sockets of the same user that
share it (SO_REUSEPORT), as HAProxy, its keeper and Serve's proxies do.
https://man7.org/linux/man-pages/man7/socket.7.html describes the option.
"""

from __future__ import annotations

import errno
import ipaddress
import random
import socket
from contextlib import suppress
from pathlib import Path

from rayml.errors import ServeError
from rayml.settings.serve import ServeSettings

_LOOPBACK = "127.0.0.1"
# Above those of Ray's workers, below those of Serve's replicas.
_PREFERRED = range(20000, 30000)
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
# Linux's and the one of IANA.
_OUTGOING = (32768, 65535)
_ATTEMPTS = 100


class Ports:
    """Holds ports of this machine until `release`, or until the process ends."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def hold(self, host: str, port: int, key: str) -> int:
        """Hold a port that the config names.

        Args:
            host: IP address of this machine.
            port: number of the port; 0 chooses a free one.
            key: config key of the port, for the message.

        Returns:
            Number of the port.

        Raises:
            ServeError: the port is in use, or this user may not bind it.
        """
        if not port:
            return self.choose(host)
        try:
            return self._keep(_bound(host, port, lingering=True))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                problem = f"port {port} is already in use; choose another with {key}"
            else:
                problem = (
                    f"port {port} of {host} cannot be opened ({error.strerror}); check serve.host"
                    f" and {key}"
                )
            raise ServeError(problem) from error

    def hold_all(self, host: str, settings: ServeSettings) -> tuple[int, int | None]:
        """Hold the HTTP port of an endpoint, and its gRPC port, None where gRPC is off.

        Args:
            host: IP address of this machine.
            settings: settings of the endpoint.

        Raises:
            ServeError: see `hold`.
        """
        http, grpc = self.hold(host, settings.port, "serve.port"), settings.grpc.port
        return http, None if grpc is None else self.hold(host, grpc, "serve.grpc.port")

    def choose(self, host: str = _LOOPBACK) -> int:
        """Hold a free port, outside of the range of outgoing connections where possible.

        Raises:
            OSError: this machine does not have the address, or no port is free.
        """
        for port in _candidates():
            with suppress(OSError):
                return self._keep(_bound(host, port))
        return self._keep(_bound(host, 0))

    def release(self) -> None:
        """Release all ports."""
        while self._held:
            self._held.pop().close()

    def _keep(self, holder: socket.socket) -> int:
        self._held.append(holder)
        port: int = holder.getsockname()[1]
        return port


def address(host: str) -> str:
    """The IP address of the config's `serve.host`.

    Raises:
        ServeError: the host is neither an IP address nor localhost.
    """
    try:
        return str(ipaddress.ip_address("127.0.0.1" if host == "localhost" else host))
    except ValueError as error:
        raise ServeError(
            "serve.host is neither an IP address nor localhost",
            found=host,
            remedy="Give an address of this machine, such as 127.0.0.1 or 0.0.0.0",
        ) from error


def require_free(settings: ServeSettings) -> None:
    """Check that the ports of an endpoint are free.

    Raises:
        ServeError: the host is no IP address, or a port is in use.
    """
    ports = Ports()
    try:
        ports.hold_all(address(settings.host), settings)
    finally:
        ports.release()


def _candidates() -> list[int]:
    low, high = _outgoing()
    free = [port for port in _PREFERRED if not low <= port <= high]
    return random.sample(free, min(_ATTEMPTS, len(free)))


def _outgoing() -> tuple[int, int]:
    """The first and the last port that the kernel gives to outgoing connections."""
    try:
        low, high = map(int, _RANGE.read_text().split())
    except (OSError, ValueError):
        return _OUTGOING
    return low, high


def _bound(host: str, port: int, *, lingering: bool = False) -> socket.socket:
    """A socket that holds a free port.

    Args:
        host: IP address of this machine.
        port: number of the port; 0 takes any.
        lingering: whether the port may have closed connections in TIME_WAIT.
    """
    holder = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        _bind(holder, host, port, lingering=lingering)
    except OSError:
        holder.close()
        raise
    # Set only now: bound with this option, the port could be another holder's already.
    if hasattr(socket, "SO_REUSEPORT"):
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return holder


def _bind(holder: socket.socket, host: str, port: int, *, lingering: bool) -> None:
    try:
        holder.bind((host, port))
    except OSError:
        if not lingering:
            raise
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, port))
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
