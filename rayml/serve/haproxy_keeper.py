"""Keeps HAProxy running: a small process between Ray Serve and HAProxy.

It holds the sockets that clients connect to and hands them to HAProxy, so that a HAProxy that is
killed is there again within tens of milliseconds, and those who connect meanwhile wait in the
kernel's queue instead of being refused. Serve alone would notice after half a minute.

Serve starts one keeper in place of HAProxy whenever replicas come or go, and one more when its own
process died; a keeper takes the sockets over from the one before it. It runs as

    python -m rayml.serve.haproxy_keeper HAPROXY -db -f CONFIG [options of HAProxy]
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import socketserver
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NoReturn

from rayml.errors import ServeError
from rayml.serve.haproxy_config import (
    adapt,
    addresses,
    admin_socket,
    knows_replicas,
    replicas,
    write_errors,
)
from rayml.serve.largest_body import largest_body
from rayml.temporary import claim

# Serve's variable, whose default is a port that hardly anybody listens at.
LOG_TARGET = "RAY_SERVE_HAPROXY_LOG_TARGET"
_POLL_S = 0.02
# How long a keeper whose parent died waits for the next one.
_ORPHAN_S = 60.0
_BACKLOG = 4096
_QUIET_S = 0.2
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def handover_socket(folder: Path) -> Path:
    """Where the keeper that holds the clients' sockets listens, beside HAProxy's configuration."""
    return folder / "keeper.sock"


def ask(path: Path, word: str, *, timeout_s: float = 10.0) -> tuple[str, list[int]]:
    """Ask a keeper.

    Args:
        path: its socket.
        word: `take` gives the addresses and their sockets, `superseded` makes it end once its
            HAProxy has answered what it took in, `drain` does so and waits for it, `replicas`
            gives the number of those that HAProxy asks.
        timeout_s: seconds to wait.

    Returns:
        Its answer, and file descriptors.

    Raises:
        OSError: there is none, or it does not answer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        connection.connect(str(path))
        connection.sendall(f"{word}\n".encode())
        answer, descriptors, _, _ = socket.recv_fds(connection, 4096, 8)
        return answer.decode().strip(), list(descriptors)


class Keeper:
    """One configuration's HAProxy, and what it stands on.

    Args:
        binary: HAProxy.
        config: the file that Serve wrote.
        host: that the endpoint is bound to, one of IPv6 in brackets.
        arrival_s: seconds in which a request must arrive.

    Raises:
        ServeError: the file opens more than the endpoint's own ports.
    """

    def __init__(self, binary: str, config: Path, *, host: str, arrival_s: float) -> None:
        text = config.read_text()
        names = addresses(text, host)
        self._binary = binary
        self._folder = config.parent
        self._admin = admin_socket(text)
        self._own = Path(f"{self._admin}.{os.getpid()}")
        self._replicas = replicas(text)
        self._config = Path(f"{config}.{os.getpid()}")
        self._handover = handover_socket(self._folder)
        self._ending = threading.Event()
        self._child: subprocess.Popen[bytes]
        self._before: Path | None = None
        self._listeners = self._inherit(text, names)
        binds = {name: f"fd@{each.fileno()}" for name, each in self._listeners.items()}
        idle = f"unix@{self._own}.idle"
        write_errors(self._folder)
        self._config.write_text(
            adapt(
                text,
                host=host,
                binds={name: binds.get(name, idle) for name in names},
                admin=self._own,
                errors=self._folder,
                arrival_s=arrival_s,
                max_body_bytes=largest_body(),
                logs=LOG_TARGET in os.environ,
            )
        )

    def _inherit(self, text: str, wanted: list[str]) -> dict[str, socket.socket]:
        """The clients' sockets, from the keeper before this one as far as it has them.

        A new Serve process first knows of no replica; until it does, the sockets stay where they
        are served.
        """
        try:
            names, descriptors = ask(self._handover, "take")
        except OSError:
            return {name: _listen(name) for name in wanted}
        taken = dict(zip(names.split(), map(_adopt, descriptors), strict=True))
        if not knows_replicas(text):
            for each in taken.values():
                each.close()
            return {}
        self._before = self._handover
        return {name: taken[name] if name in taken else _listen(name) for name in wanted}

    def run(self) -> NoReturn:
        """Run HAProxy until it is told to end, again and again if it ends otherwise."""
        signal.signal(signal.SIGUSR1, lambda *_: self.end())
        signal.signal(signal.SIGTERM, lambda *_: self._kill())
        self._spawn()
        self._wait_until_up()
        if self._before is not None:
            with suppress(OSError):
                ask(self._before, "superseded")
        with ExitStack() as servers:
            servers.enter_context(_serving(self._admin, self._relay))
            if self._listeners:
                servers.enter_context(_serving(self._handover, self._answer))
            code = self._watch()
        self._forget()
        os._exit(code)

    def _watch(self) -> int:
        parent = os.getppid()
        serve, above = _Watch(parent), _Watch(_parent_of(parent))
        orphan_s: float | None = None
        while True:
            code = self._child.poll()
            if code is not None:
                if self._ending.is_set():
                    return 0
                if time.monotonic() - self._spawned_s < _QUIET_S:
                    time.sleep(_QUIET_S)
                self._spawn()
            if os.getppid() != parent:
                orphan_s = orphan_s or time.monotonic()
                waited = time.monotonic() - orphan_s
                if above.ended() or not self._listeners or waited > _ORPHAN_S:
                    self._kill()
            # Nothing else needs looking at.
            _wait([self._haproxy] if orphan_s else [self._haproxy, serve], orphan_s and _POLL_S)

    def _spawn(self) -> None:
        self._spawned_s = time.monotonic()
        self._child = subprocess.Popen(  # noqa: S603 (HAProxy, as the environment names it)
            [self._binary, "-db", "-f", str(self._config)],
            pass_fds=[each.fileno() for each in self._listeners.values()],
            # HAProxy ends with its keeper, which Serve kills in order to stop it.
            preexec_fn=_die_with_parent,  # noqa: PLW1509
        )
        self._haproxy = _Watch(self._child.pid)

    def _wait_until_up(self) -> None:
        while not self._ask_haproxy("show info"):
            if self._child.poll() is not None:
                self._forget()
                sys.exit(self._child.returncode or 1)
            time.sleep(_POLL_S)

    def end(self) -> None:
        """Take nothing new in, and end once what was taken in is answered."""
        self._ending.set()
        self._child.send_signal(signal.SIGUSR1)

    def _kill(self) -> None:
        self._ending.set()
        self._child.kill()

    def _forget(self) -> None:
        for path in (self._own, self._config, Path(f"{self._own}.idle")):
            path.unlink(missing_ok=True)

    def _relay(self, connection: socket.socket, command: str) -> None:
        """Answer Serve on the admin socket, which knows HAProxy by the keeper's process."""
        answer = self._ask_haproxy(command)
        own = f"Pid: {self._child.pid}\n".encode()
        connection.sendall(answer.replace(own, f"Pid: {os.getpid()}\n".encode()))

    def _ask_haproxy(self, command: str) -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(5)
            try:
                connection.connect(str(self._own))
                connection.sendall(f"{command}\n".encode())
                return b"".join(iter(lambda: connection.recv(65536), b""))
            except OSError:
                return b""

    def _answer(self, connection: socket.socket, word: str) -> None:
        match word:
            case "take":
                names, each = zip(*self._listeners.items(), strict=True)
                descriptors = [listener.fileno() for listener in each]
                socket.send_fds(connection, [f"{' '.join(names)}\n".encode()], descriptors)
            case "superseded":
                self.end()
                connection.sendall(b"ending\n")
            case "replicas":
                connection.sendall(f"{self._replicas}\n".encode())
            case "drain":
                self._drain()
                connection.sendall(b"drained\n")

    def _drain(self) -> None:
        """Refuse connections from now on, and wait until no request is on its way."""
        with _Monitor(self._own) as monitor:
            for listener in self._listeners.values():
                listener.shutdown(socket.SHUT_RD)
            self.end()
            quiet_s = time.monotonic()
            while self._child.poll() is None and time.monotonic() - quiet_s < _QUIET_S:
                if monitor.requests():
                    quiet_s = time.monotonic()
                time.sleep(_POLL_S)


class _Monitor:
    """A connection to the admin socket that outlives the end of its listening."""

    def __init__(self, path: Path) -> None:
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection.settimeout(5)
        self._connection.connect(str(path))
        self._connection.sendall(b"prompt\n")
        self._read()

    def __enter__(self) -> _Monitor:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def requests(self) -> int:
        """Requests that are on their way to or from a replica."""
        try:
            self._connection.sendall(b"show stat -1 2 -1\n")
            lines = self._read().splitlines()
        except OSError:  # HAProxy has ended
            return 0
        return sum(int(line.split(",")[4] or 0) for line in lines if ",BACKEND," in line)

    def _read(self) -> str:
        data = b""
        while not data.endswith(b"\n> "):
            part = self._connection.recv(65536)
            if not part:
                break
            data += part
        return data.decode()


class _Watch:
    """Watches a process, whoever's child it is."""

    def __init__(self, pid: int) -> None:
        self._pidfd = os.pidfd_open(pid)

    def __del__(self) -> None:
        os.close(self._pidfd)

    def fileno(self) -> int:
        """What can be read from once it has ended."""
        return self._pidfd

    def ended(self) -> bool:
        """Whether it has ended."""
        return _wait([self], 0)


def _wait(watched: Sequence[_Watch], timeout_s: float | None) -> bool:
    """Wait until one of some processes has ended, or the time is over; whether one has."""
    return bool(select.select(watched, [], [], timeout_s)[0])


class _serving:  # noqa: N801 (a context manager)
    """Answers one line a connection at a path, in threads, while the context lasts."""

    def __init__(self, path: Path, answer: Callable[[socket.socket, str], None]) -> None:
        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    answer(self.request, self.rfile.readline().decode().strip())

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            block_on_close = False

        self._path = path
        self._fresh = Path(f"{path}.{os.getpid()}.new")
        before = os.umask(0o177)
        self._server = Server(str(self._fresh), Handler)
        os.umask(before)

    def __enter__(self) -> None:
        self._fresh.rename(self._path)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._server.socket.close()


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Should a keeper have died with HAProxy still holding the old socket, a new one can be opened.
    return socket.create_server(
        ("" if host == "*" else host, int(port)), family=family, backlog=_BACKLOG, reuse_port=True
    )


def _adopt(descriptor: int) -> socket.socket:
    return socket.socket(fileno=descriptor)


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _parent_of(pid: int) -> int:
    # The name, in parentheses, may hold anything.
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _require_own(folder: Path) -> None:
    """Whoever can write where the sockets are could answer in our place."""
    found = folder.lstat()
    if (
        found.st_uid != os.getuid()
        or not stat.S_ISDIR(found.st_mode)
        or found.st_mode & stat.S_ISVTX
    ):
        sys.exit(f"rayml: {folder} is shared with others; remove it")
    folder.chmod(0o700)


def main() -> NoReturn:
    """Keep the HAProxy of the command line."""
    # A signal to Serve's process group is not for the keeper, which outlives that process.
    os.setsid()
    os.umask(0o077)
    binary, *arguments = sys.argv[1:]
    config = Path(arguments[arguments.index("-f") + 1])
    for folder in (config.parent, config.parent.parent):
        _require_own(folder)
    # The process above Serve's is the node's, which a later keeper belongs to as well.
    claim(config.parent, _parent_of(os.getppid()))
    host, arrival_s = os.environ["RAYML_HOST"], float(os.environ["RAYML_ARRIVAL_S"])
    try:
        keeper = Keeper(binary, config, host=host, arrival_s=arrival_s)
    except ServeError as error:
        sys.exit(f"rayml: {error}")
    keeper.run()


if __name__ == "__main__":
    main()
