"""Single-row requests of rayml's endpoint beside a bare FastAPI app, LitServe and BentoML.

All serve the same weights behind the same preprocessing on this machine; LitServe and BentoML
have their batching on, and an environment of their own each, made at the first run. The load comes
from a process of its own over keep-alive connections, and every answer is checked against the model
itself. The servers run one at a time, in turns, so that they meet the same machine; read the
ratios, not the figures.

    python tests/bench/serve_bench.py [--seconds 3] [--rounds 2] [--connections 1 16 64] [--only …]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from peers.environments import python_of
from servers import HERE, load, server

MODEL = {"width": 128, "depth": 3, "dropout": 0.1}
BARE = "bare uvicorn + FastAPI"
RAYML = "rayml"
PROXY = "rayml, ingress=proxy"
Runs = dict[tuple[str, int], list[dict[str, Any]]]


@dataclass
class Server:
    """What is compared.

    Attributes:
        command: that runs it, without its port.
        bodies: requests in its own form.
        peer: whose environment it needs; None takes ours.
    """

    command: list[str]
    bodies: list[str]
    peer: str | None = None


@dataclass
class Case:
    """Servers by their names, and the probability of the positive class for each body."""

    servers: dict[str, Server]
    expected: list[float]
    positive: str


def make_case(folder: Path, rows: int = 64) -> Case:
    """Write a bundle, and the same weights for the peers, into a folder."""
    from bench_case import write_case

    predictor, raw = write_case(folder, MODEL)
    columns = [column.name for column in predictor.signature.inputs]
    records = raw.slice(0, rows).select(columns).to_pylist()
    positive = str(predictor.signature.target.classes[1])
    plain = [json.dumps(row) for row in records]
    names = [
        json.dumps({name.replace(" ", "_"): value for name, value in row.items()})
        for row in records
    ]
    endpoint = [str(HERE / "endpoint_app.py"), str(folder / "bundle")]
    peers = HERE / "peers"
    return Case(
        servers={
            BARE: Server([str(HERE / "bare_app.py"), str(folder)], names),
            RAYML: Server([*endpoint, "haproxy"], plain),
            PROXY: Server([*endpoint, "proxy"], plain),
            "LitServe": Server([str(peers / "litserve_app.py"), str(folder)], plain, "litserve"),
            "BentoML": Server(
                [str(peers / "bentoml_app.py"), str(folder)],
                [json.dumps({"rows": [row]}) for row in records],
                "bentoml",
            ),
        },
        expected=[answer["probabilities"][positive] for answer in predictor.predict_rows(records)],
        positive=positive,
    )


def check(seen: dict[str, Any], case: Case) -> None:
    """Stop if a request failed or was answered wrongly."""
    if seen["failed"]:
        raise SystemExit(f"{seen['failed']} of {seen['requests']} failed: {seen['answers']}")
    for index, texts in seen["answers"].items():
        for p in (probability(text, case.positive) for text in texts):
            if abs(p - case.expected[int(index)]) > 1e-5:
                raise SystemExit(f"row {index}: {p} is not {case.expected[int(index)]}")


def probability(text: str, positive: str) -> float:
    """That of the positive class in an answer of any server."""
    answer = json.loads(text)
    if isinstance(answer, dict):
        answer = answer.get("predictions", answer)
    if isinstance(answer, list):
        (answer,) = answer
    p: float = answer["probability"]
    return p if answer["label"] == positive else 1 - p


def measure(
    name: str, case: Case, folder: Path, connections: list[int], seconds: float
) -> dict[int, dict[str, Any]]:
    """Start one server, load it with each number of connections, and end it."""
    each = case.servers[name]
    python = python_of(each.peer) if each.peer else sys.executable
    seen = {}
    with server(*each.command, python=python, body=each.bodies[0]) as port:
        for count in connections:
            load(port, each.bodies, folder, connections=count, seconds=0.7)
            seen[count] = load(port, each.bodies, folder, connections=count, seconds=seconds)
            check(seen[count], case)
    return seen


def main() -> None:
    """Run all servers in turns and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--only", nargs="+", help=f"names of servers; else all but {PROXY!r}")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        case = make_case(folder)
        names = options.only or [name for name in case.servers if name != PROXY]
        for name in names:
            if peer := case.servers[name].peer:
                python_of(peer)
        runs: Runs = {}
        for _ in range(options.rounds):
            # One at a time: idle servers of Ray take a share of the cores too.
            for name in names:
                found = measure(name, case, folder, options.connections, options.seconds)
                for count, seen in found.items():
                    runs.setdefault((name, count), []).append(seen)
        report(runs, names, options.connections)


def report(runs: Runs, names: list[str], connections: list[int]) -> None:
    """Print the medians of all rounds, and how many times as much rayml answers."""

    def middle(name: str, count: int, key: str) -> float:
        return median(run[key] for run in runs[name, count])

    print("one row a request, every answer checked")
    print(f"{'connections':>11} {'':24} {'req/s':>7} {'p50 ms':>7} {'p99 ms':>7} {'rayml':>7}")
    for count in connections:
        for name in names:
            rate = middle(name, count, "rate")
            times = middle(RAYML, count, "rate") / rate if RAYML in names else float("nan")
            p50, p99 = middle(name, count, "p50_ms"), middle(name, count, "p99_ms")
            print(f"{count:11} {name:24} {rate:7.0f} {p50:7.1f} {p99:7.1f} {times:6.2f}x")


if __name__ == "__main__":
    main()
