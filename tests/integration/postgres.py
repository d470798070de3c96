"""A private PostgreSQL server for tests."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rayml.serve.ingress.ports import Ports

PASSWORD = "s3cret-Pa55phrase"


@dataclass(frozen=True)
class Postgres:
    """A running server: `url` has a user and a password in it."""

    url: str


def binaries() -> Path | None:
    """Folder of the newest server's programs, or None where there is none."""
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    found = sorted((b for b in versions if (b / "initdb").exists()), key=lambda b: b.parent.name)
    if found:
        return found[-1]
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


@contextmanager
def running(programs: Path) -> Iterator[Postgres]:
    """Run a server on a free port of the loopback, with data in a temporary folder."""
    user = pwd.getpwnam(_unprivileged()) if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    data, secret = folder / "data", folder / "password"
    secret.write_text(PASSWORD)
    if user:
        for path in (folder, secret):
            os.chown(path, user.pw_uid, user.pw_gid)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [programs / program, "-D", data, *arguments],
            check=True,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        )

    try:
        # fmt: off
        run("initdb", "--username=me", "--auth=scram-sha-256", f"--pwfile={secret}",
            "--encoding=UTF8", "--no-sync")
        # fmt: on
        port = _start(run, folder)
        try:
            yield Postgres(f"postgresql://me:{PASSWORD}@127.0.0.1:{port}/postgres")
        finally:
            run("pg_ctl", "stop", "--wait", "--mode=immediate")
    finally:
        shutil.rmtree(folder)


def _start(run: Callable[..., None], folder: Path, attempts: int = 5) -> int:
    """Start the server at a port, which it shares with nobody who might hold it till then."""
    for attempt in range(attempts):
        ports = Ports()
        port = ports.choose()
        ports.release()
        options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
        try:
            run("pg_ctl", "start", "--wait", f"--log={folder / 'log'}", f"--options={options}")
        except subprocess.CalledProcessError:
            if attempt == attempts - 1 or "in use" not in (folder / "log").read_text():
                raise
        else:
            return port
    raise AssertionError


def _unprivileged() -> str:
    """A user for the server, which refuses to run as root."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
