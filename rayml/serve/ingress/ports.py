"""Holds the ports of an endpoint from the moment they are chosen until it ends.

Ray Serve is told its ports by number and binds them seconds later, in other processes; a port that
only was free meanwhile goes to whoever comes first, be it an outgoing connection. A socket that is
bound and does not listen keeps all others away, but for sockets of this user that ask to share the
port (SO_REUSEPORT), which HAProxy, its keeper and Serve's proxies do.
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
    """Ports of this machine that are held until they are released, or the process ends."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def hold(self, host: str, port: int, key: str) -> int:
        """Hold a port that the config names.

        Args:
            host: address that it is of.
            port: its number; 0 chooses one.
            key: of the config, for the message.

        Returns:
            Its number.

        Raises:
            ServeError: it is in use, or not for this user.
        """
        if not port:
            return self.choose(host)
        try:
            return self._keep(_bound(host, port, lingering=True))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                said = f"port {port} is already in use; choose another with {key}"
            else:
                said = f"port {port} of {host} cannot be opened ({error.strerror}); see {key}"
            raise ServeError(said) from error

    def hold_all(self, host: str, settings: ServeSettings) -> tuple[int, int | None]:
        """Hold the ports of an endpoint: of HTTP, and of gRPC, None if it is not answered.

        Args:
            host: address that they are of.
            settings: of the endpoint.

        Raises:
            ServeError: see `hold`.
        """
        http, grpc = self.hold(host, settings.port, "serve.port"), settings.grpc.port
        return http, None if grpc is None else self.hold(host, grpc, "serve.grpc.port")

    def choose(self, host: str = _LOOPBACK) -> int:
        """Hold a free port, which outgoing connections do not use if there is such a one.

        Raises:
            OSError: the address is none of this machine, or no port is free.
        """
        for port in _candidates():
            with suppress(OSError):
                return self._keep(_bound(host, port))
        return self._keep(_bound(host, 0))

    def release(self) -> None:
        """Hold none any more."""
        while self._held:
            self._held.pop().close()

    def _keep(self, holder: socket.socket) -> int:
        self._held.append(holder)
        port: int = holder.getsockname()[1]
        return port


def address(host: str) -> str:
    """The IP address of a host that the config names.

    Raises:
        ServeError: it is neither an address nor localhost.
    """
    try:
        return str(ipaddress.ip_address("127.0.0.1" if host == "localhost" else host))
    except ValueError as error:
        raise ServeError("a host is an IP address or localhost", found=host) from error


def require_free(settings: ServeSettings) -> None:
    """Go on only if an endpoint could hold its ports now.

    Raises:
        ServeError: the host is no address, or a port is in use.
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
    """A socket that holds a port which nobody held.

    Args:
        host: address.
        port: its number; 0 takes any.
        lingering: whether a port may still have connections that are closed already.
    """
    holder = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        _bind(holder, host, port, lingering=lingering)
    except OSError:
        holder.close()
        raise
    # Shared from here on only: bound with it, the port could be another holder's.
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
