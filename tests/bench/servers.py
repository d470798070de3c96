"""Servers in processes of their own, one at a time, and the load on them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rayml.serve.ingress.ports import Ports

HERE = Path(__file__).parent


@contextmanager
def server(
    *command: str,
    python: str = sys.executable,
    body: str | None = None,
    source: Path = HERE.parents[1],
) -> Iterator[int]:
    """Run a server that takes a port as its last argument, until the block ends.

    Args:
        command: script and arguments.
        python: interpreter.
        body: what `/predict` answers with 200 once the server is ready; None asks for nothing,
            which is refused with 422 then.
        source: checkout whose rayml it imports; peers import a model of ours from it.
    """
    # Not held, since the peers' servers share no port, but none that a connection would take.
    ports = Ports()
    port = ports.choose()
    ports.release()
    env = os.environ | {"PYTHONPATH": str(source)}
    process = subprocess.Popen(
        [python, *command, str(port)], start_new_session=True, env=env, cwd=source
    )
    try:
        _wait_for(port, process, body)
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=60)
        finally:
            # LitServe leaves workers behind.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _wait_for(
    port: int, process: subprocess.Popen[bytes], body: str | None, seconds: float = 120
) -> None:
    wanted = 422 if body is None else 200
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            headers = {"content-type": "application/json"}
            connection.request("POST", "/predict", body=body or "[]", headers=headers)
            if connection.getresponse().status == wanted:
                return
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.2)
    raise SystemExit(f"no server on port {port}")


def load(
    port: int, bodies: list[str], folder: Path, *, connections: int, seconds: float
) -> dict[str, Any]:
    """Load a server from another process and give what the client saw, see `http_load.py`."""
    job = {
        "port": port,
        "path": "/predict",
        "bodies": bodies,
        "connections": connections,
        "seconds": seconds,
    }
    (folder / "job.json").write_text(json.dumps(job))
    client = [sys.executable, str(HERE / "http_load.py"), str(folder / "job.json")]
    seen: dict[str, Any] = json.loads(
        subprocess.run(client, check=True, capture_output=True).stdout
    )
    return seen
