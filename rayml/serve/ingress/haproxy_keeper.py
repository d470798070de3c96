"""Keeps HAProxy running: a small process between Ray Serve and HAProxy.

It holds the sockets that clients connect to and hands them to HAProxy. A killed HAProxy runs again
within tens of milliseconds, and clients that connect meanwhile wait in the kernel's queue instead
of being refused; Serve alone would notice after half a minute. A spare process, a fork of the
keeper, holds the same sockets and takes over if the keeper itself is killed.

Serve starts a keeper in place of HAProxy whenever replicas come or go, and when its own process was
restarted; a keeper takes the sockets over from the one before it. It runs as

    python -m rayml.serve.ingress.haproxy_keeper HAPROXY -db -f CONFIG [options of HAProxy]
"""

from __future__ import annotations

import os
import signal
import socket
import socketserver
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NoReturn

from rayml.errors import ServeError
from rayml.processes import Watch, die_with_parent, parent_of, wait_for_any
from rayml.serve.ingress.haproxy_config import (
    adapt,
    addresses,
    admin_socket,
    knows_replicas,
    replicas,
    write_errors,
)
from rayml.serve.ingress.haproxy_monitor import Monitor
from rayml.serve.ingress.largest_body import largest_body
from rayml.serve.ingress.spare import Spare
from rayml.serve.ingress.suspended import PERIOD_S, Suspensions, servers
from rayml.storage.temporary import claim

# Serve's variable; its default is a port at which usually nothing listens.
LOG_TARGET = "RAY_SERVE_HAPROXY_LOG_TARGET"
_POLL_S = 0.02
# How long a keeper whose parent has died waits for its successor.
_ORPHAN_S = 60.0
_BACKLOG = 4096
_QUIET_S = 0.2


def handover_socket(folder: Path) -> Path:
    """Socket of the keeper that holds the clients' sockets, beside HAProxy's configuration."""
    return folder / "keeper.sock"


def ask(path: Path, word: str, *, timeout_s: float = 10.0) -> tuple[str, list[int]]:
    """Ask a keeper.

    Args:
        path: socket of the keeper.
        word: `take` returns the addresses and their sockets, `superseded` ends the keeper once its
            HAProxy has answered all accepted requests, `drain` does so and waits for it, `replicas`
            returns the number of replicas that HAProxy asks.
        timeout_s: seconds to wait.

    Returns:
        The answer, and file descriptors.

    Raises:
        OSError: no keeper runs, or it does not answer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        connection.connect(str(path))
        connection.sendall(f"{word}\n".encode())
        answer, descriptors, _, _ = socket.recv_fds(connection, 4096, 8)
        return answer.decode().strip(), list(descriptors)


class Keeper:
    """Runs HAProxy with one configuration.

    Args:
        binary: path of HAProxy.
        config: the configuration that Serve wrote.
        host: address that the endpoint is bound to; an IPv6 address in brackets.
        arrival_s: seconds in which a request must arrive.

    Raises:
        ServeError: the configuration opens another port than the endpoint's.
    """

    def __init__(self, binary: str, config: Path, *, host: str, arrival_s: float) -> None:
        text = config.read_text()
        names = addresses(text, host)
        self._binary = binary
        self._folder = config.parent
        self._admin = admin_socket(text)
        self._own = Path(f"{self._admin}.{os.getpid()}")
        self._replicas = replicas(text)
        self._servers = servers(text)
        self._config = Path(f"{config}.{os.getpid()}")
        self._handover = handover_socket(self._folder)
        self._ending = threading.Event()
        self._child: subprocess.Popen[bytes]
        self._before: Path | None = None
        self._spare: Spare | None = None
        self._serve = Watch(os.getppid())
        self._above = Watch(parent_of(os.getppid()))
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
        """The clients' sockets; those that the previous keeper has are taken over from it.

        A new Serve process knows no replica at first; until it does, the previous keeper goes on.
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
        """Run HAProxy, and start it again whenever it ends unasked."""
        signal.signal(signal.SIGUSR1, lambda *_: self.end())
        signal.signal(signal.SIGTERM, lambda *_: self._kill())
        self._spawn()
        self._wait_until_up()
        if self._before is not None:
            with suppress(OSError):
                ask(self._before, "superseded")
        self._keep(known=True)

    def _take_over(self) -> NoReturn:
        """Continue in place of the parent process, which was killed."""
        if not self._config.exists():
            os._exit(0)  # it was killed to end the endpoint
        wait_for_any([self._haproxy], None)
        self._spawn()
        # Serve finds no admin socket and then starts a new keeper, which takes over from this one.
        self._admin.unlink(missing_ok=True)
        self._keep(known=False)

    def _keep(self, *, known: bool) -> NoReturn:
        """Watch HAProxy, and answer on the sockets.

        Args:
            known: whether Serve started this process and asks it.
        """
        # Forked before any thread starts.
        self._spare = Spare(self._take_over) if self._listeners else None
        try:
            code = self._answer_and_watch(known=known)
        finally:
            self._will_end()
        self._forget()
        os._exit(code)

    def _answer_and_watch(self, *, known: bool) -> int:
        with ExitStack() as servers:
            if known:
                servers.enter_context(_serving(self._admin, self._relay))
            if self._listeners:
                servers.enter_context(_serving(self._handover, self._answer))
            threading.Thread(target=self._watch_replicas, daemon=True).start()
            return self._watch(known=known)

    def _watch(self, *, known: bool) -> int:
        orphan_s: float | None = None
        while True:
            code = self._child.poll()
            if code is not None:
                if self._ending.is_set():
                    return 0
                if time.monotonic() - self._spawned_s < _QUIET_S:
                    time.sleep(_QUIET_S)
                self._spawn()
            if self._spare is not None and self._spare.ended():
                self._spare = None if self._ending.is_set() else Spare(self._take_over)
            if orphan_s is None and self._serve.ended():
                orphan_s = time.monotonic()
            # Serve itself ends a keeper that it knows.
            alone = orphan_s is not None or not known
            if alone and self._is_forsaken(orphan_s):
                self._kill()
            # Waits for a process to end; polls only where a file or time may end it, too.
            watched = [self._haproxy, *([self._spare.watch] if self._spare else [])]
            watched += [] if orphan_s else [self._serve]
            wait_for_any(watched, _POLL_S if alone else None)

    def _watch_replicas(self) -> None:
        suspensions = Suspensions(self._servers, self._ask_haproxy)
        while not self._ending.wait(PERIOD_S):
            suspensions.look()

    def _is_forsaken(self, orphan_s: float | None) -> bool:
        """Whether no other keeper will take over.

        Args:
            orphan_s: time at which Serve's process was found ended; None while it runs.
        """
        return (
            self._above.ended()
            or not self._listeners
            # The end of the endpoint removes its folder.
            or not self._config.exists()
            or (orphan_s is not None and time.monotonic() - orphan_s > _ORPHAN_S)
        )

    def _spawn(self) -> None:
        self._spawned_s = time.monotonic()
        self._child = subprocess.Popen(  # noqa: S603 (HAProxy, as the environment names it)
            [self._binary, "-db", "-f", str(self._config)],
            pass_fds=[each.fileno() for each in self._listeners.values()],
            # Serve kills the keeper in order to stop HAProxy, so HAProxy dies with it.
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )
        self._haproxy = Watch(self._child.pid)

    def _wait_until_up(self) -> None:
        while not self._ask_haproxy("show info"):
            if self._child.poll() is not None:
                self._forget()
                sys.exit(self._child.returncode or 1)
            time.sleep(_POLL_S)

    def end(self) -> None:
        """Accept no more requests, and end once the accepted ones are answered."""
        self._will_end()
        self._child.send_signal(signal.SIGUSR1)

    def _kill(self) -> None:
        self._will_end()
        self._child.kill()

    def _will_end(self) -> None:
        self._ending.set()
        if self._spare is not None:
            self._spare.dismiss()

    def _forget(self) -> None:
        for path in (self._own, self._config, Path(f"{self._own}.idle")):
            path.unlink(missing_ok=True)

    def _relay(self, connection: socket.socket, command: str) -> None:
        """Answer Serve on the admin socket with the keeper's process id in place of HAProxy's."""
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
        """Refuse new connections, and wait until no request is open."""
        with Monitor(self._own) as monitor:
            for listener in self._listeners.values():
                listener.shutdown(socket.SHUT_RD)
            self.end()
            quiet_s = time.monotonic()
            while self._child.poll() is None and time.monotonic() - quiet_s < _QUIET_S:
                if monitor.requests():
                    quiet_s = time.monotonic()
                time.sleep(_POLL_S)


class _serving:  # noqa: N801 (a context manager)
    """Answers one line per connection at a socket, in threads, while the context lasts."""

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
    # reuse_port: where a keeper died and its HAProxy still holds the socket, this one opens too.
    return socket.create_server(
        ("" if host == "*" else host, int(port)), family=family, backlog=_BACKLOG, reuse_port=True
    )


def _adopt(descriptor: int) -> socket.socket:
    return socket.socket(fileno=descriptor)


def _require_own(folder: Path) -> None:
    """End with an error where others could put a socket of their own into the folder."""
    found = folder.lstat()
    if (
        found.st_uid != os.getuid()
        or not stat.S_ISDIR(found.st_mode)
        or found.st_mode & stat.S_ISVTX
    ):
        sys.exit(f"rayml: other users may write to {folder}; remove it")
    folder.chmod(0o700)


def main() -> NoReturn:
    """Keep the HAProxy of the command line."""
    # The keeper outlives Serve's process, so signals to that process group must not reach it.
    os.setsid()
    os.umask(0o077)
    binary, *arguments = sys.argv[1:]
    config = Path(arguments[arguments.index("-f") + 1])
    for folder in (config.parent, config.parent.parent):
        _require_own(folder)
    # Claimed for the parent of Serve's process, the node's own, which outlives every keeper.
    claim(config.parent, parent_of(os.getppid()))
    host, arrival_s = os.environ["RAYML_HOST"], float(os.environ["RAYML_ARRIVAL_S"])
    try:
        keeper = Keeper(binary, config, host=host, arrival_s=arrival_s)
    except ServeError as error:
        sys.exit(f"rayml: {error}")
    keeper.run()


if __name__ == "__main__":
    main()
