"""Single-row requests of rayml's endpoint beside a bare uvicorn + FastAPI + torch app.

Both serve the same weights on this machine; the load comes from a process of its own over
keep-alive connections, and every answer is checked against the model itself. The servers run one
at a time, in turns, so that they meet the same machine; read the ratios, not the figures.

    python tests/bench/serve_bench.py [--seconds 5] [--rounds 3] [--connections 16]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
MODEL = {"width": 128, "depth": 3, "dropout": 0.1}


@dataclass
class Case:
    """Bodies with the probability of the positive class that each must be answered with."""

    bodies: dict[str, list[str]]
    expected: list[float]
    positive: str


def make_case(folder: Path, rows: int = 64) -> Case:
    """Write a bundle, and the same weights for the bare app, into a folder."""
    from bench_case import write_case

    predictor, raw = write_case(folder, MODEL)
    columns = [column.name for column in predictor.signature.inputs]
    records = raw.slice(0, rows).select(columns).to_pylist()
    answers = predictor.predict_rows(records)
    positive = str(predictor.signature.target.classes[1])
    return Case(
        bodies={
            "rayml": [json.dumps(row) for row in records],
            "bare": [
                json.dumps({name.replace(" ", "_"): value for name, value in row.items()})
                for row in records
            ],
        },
        expected=[answer["probabilities"][positive] for answer in answers],
        positive=positive,
    )


@contextmanager
def server(*command: str) -> Iterator[int]:
    """Run a server that takes a port as its last argument, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, *command, str(port)], start_new_session=True)
    try:
        wait_for(port, process)
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def wait_for(port: int, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    """Wait until a port answers `/predict` as its app does."""
    import http.client

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("POST", "/predict", body=b"[]")
            if connection.getresponse().status == 422:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.2)
    raise SystemExit(f"no server on port {port}")


def measure(port: int, bodies: list[str], folder: Path, options: argparse.Namespace) -> Any:
    """Load a server and give what the client saw."""
    job = {
        "port": port,
        "path": "/predict",
        "bodies": bodies,
        "connections": options.connections,
        "seconds": options.seconds,
    }
    (folder / "job.json").write_text(json.dumps(job))
    client = [sys.executable, str(HERE / "http_load.py"), str(folder / "job.json")]
    return json.loads(subprocess.run(client, check=True, capture_output=True).stdout)


def check(seen: dict[str, Any], case: Case) -> None:
    """Stop if a request failed or was answered wrongly."""
    if seen["failed"]:
        raise SystemExit(f"{seen['failed']} of {seen['requests']} failed: {seen['answers']['0']}")
    for index, text in seen["answers"].items():
        answer = json.loads(text)
        answer = answer["predictions"][0] if "predictions" in answer else answer
        p = answer["probability"]
        p = p if answer["label"] == case.positive else 1 - p
        if abs(p - case.expected[int(index)]) > 1e-5:
            raise SystemExit(f"row {index}: {p} is not {case.expected[int(index)]}")


def main() -> None:
    """Run all servers in turns and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        case = make_case(folder)
        bundle = str(folder / "bundle")
        servers = {
            "bare uvicorn + FastAPI": ("bare", [str(HERE / "bare_app.py"), str(folder)]),
            "rayml, ingress=proxy": ("rayml", [str(HERE / "endpoint_app.py"), bundle, "proxy"]),
            "rayml, ingress=haproxy": ("rayml", [str(HERE / "endpoint_app.py"), bundle, "haproxy"]),
        }
        runs: dict[str, list[Any]] = {name: [] for name in servers}
        for _ in range(options.rounds):
            # One at a time: idle servers of Ray take a share of the cores too.
            for name, (form, command) in servers.items():
                with server(*command) as port:
                    measure(
                        port,
                        case.bodies[form],
                        folder,
                        argparse.Namespace(connections=options.connections, seconds=1),
                    )
                    seen = measure(port, case.bodies[form], folder, options)
                check(seen, case)
                runs[name].append(seen)
        report(runs, options.connections)


def report(runs: dict[str, list[Any]], connections: int) -> None:
    """Print the medians of all rounds, and ratios to the bare app."""
    base = next(iter(runs))

    def middle(name: str, key: str) -> float:
        return median(run[key] for run in runs[name])

    print(f"one row a request, {connections} connections, every answer checked")
    print(f"{'':26} {'req/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'of bare':>8}")
    for name in runs:
        rate, ratio = middle(name, "rate"), middle(name, "rate") / middle(base, "rate")
        p50, p99 = middle(name, "p50_ms"), middle(name, "p99_ms")
        print(f"{name:26} {rate:8.0f} {p50:8.1f} {p99:8.1f} {ratio:8.3f}")


if __name__ == "__main__":
    main()
