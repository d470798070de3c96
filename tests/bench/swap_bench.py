"""A new version swaps in under load: failed requests, latency before and during it, roll back.

One endpoint with two replicas follows a release. Load comes from a process of its own over
keep-alive connections; each answer is checked against the version that its probability belongs
to. Each swap brings a version that no replica has loaded yet.

    python tests/bench/swap_bench.py [--swaps 5] [--connections 16] [--calm 4]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("OMP_NUM_THREADS", "1")


def load(job: dict[str, Any]) -> None:
    """Send until the time is over; print when each request was answered, how late, and what."""
    from http_load import Load

    class Timeline(Load):
        """Load that keeps every answer with its time."""

        def __init__(self, job: dict[str, Any]) -> None:
            super().__init__(job)
            self.seen: list[tuple[float, float, bool, float]] = []

        def record(self, index: int, status: bytes, body: bytes, seconds: float) -> None:
            super().record(index, status, body, seconds)
            right = status == b"200"
            share = json.loads(body)["predictions"][0]["probability"] if right else -1.0
            self.seen.append((time.time(), seconds, right, share))

    timeline = Timeline(job)
    asyncio.run(timeline.run())
    print(json.dumps(timeline.seen))


def main() -> None:
    """Swap a few times and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=5)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--calm", type=float, default=4, help="seconds between two changes")
    parser.add_argument("--load", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        load(json.loads(Path(options.load).read_text()))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        registry, row, own = make_versions(folder, options.swaps + 1)
        run(folder, registry, row, own, options)


def make_versions(folder: Path, count: int) -> tuple[Any, str, list[float]]:
    """Versions of the same shape and other weights, with their answers to one row."""
    import torch
    from bench_case import write_case

    from rayml.registry.bundle.manifest import write_manifest
    from rayml.registry.store import Registry
    from rayml.serve.predict.predictor import Predictor

    predictor, raw = write_case(folder, {"width": 128, "depth": 3, "dropout": 0.1})
    columns = [column.name for column in predictor.signature.inputs]
    (row,) = raw.slice(0, 1).select(columns).to_pylist()
    registry, own = Registry(folder / "registry"), []
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "bundle" / "weights.safetensors")
    for number in range(count):
        torch.manual_seed(number)
        other = {name: each + 0.05 * torch.randn_like(each) for name, each in weights.items()}
        save_file(other, folder / "bundle" / "weights.safetensors")
        (folder / "bundle" / "manifest.json").unlink()
        write_manifest(folder / "bundle")
        registry.register(folder / "bundle")
        version = Predictor.load(folder / "bundle")
        own.append(version.predict_rows([row])[0]["probability"])
    return registry, json.dumps(row), own


def run(
    folder: Path, registry: Any, row: str, own: list[float], options: argparse.Namespace
) -> None:
    """Start the endpoint, load it, change its release, and report."""
    import ray

    from rayml.registry import release
    from rayml.serve.endpoint import start
    from rayml.serve.release.status import read_statuses
    from rayml.settings.serve import ReplicaSettings, ServeSettings

    change(registry, lambda seen: release.promote(seen, 1, "bench"))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    endpoint = start(
        registry.resolve("model"),
        version="1",
        settings=ServeSettings(port=0, replicas=ReplicaSettings(min=2, max=2, cpu=1)),
        follows=True,
    )
    while len(read_statuses(registry.folder("model"))) < 2:
        time.sleep(0.1)
    time.sleep(5)  # HAProxy hears of the second replica, and closes the connections it had
    seconds = options.calm * (2 * options.swaps + 2) + 3 * options.swaps
    job = {
        "port": endpoint.port,
        "path": "/predict",
        "bodies": [row],
        "connections": options.connections,
        "seconds": seconds,
    }
    (folder / "job.json").write_text(json.dumps(job))
    command = [sys.executable, str(HERE / "swap_bench.py"), "--load", str(folder / "job.json")]
    client = subprocess.Popen(command, stdout=subprocess.PIPE)
    swaps, backs = [], []
    time.sleep(options.calm)  # the first seconds warm everything up
    for version in range(2, options.swaps + 2):
        time.sleep(options.calm)
        swaps.append(timed(registry, lambda s, v=version: release.promote(s, v, "bench")))
        time.sleep(options.calm / 2)
        backs.append(timed(registry, lambda s: release.roll_back(s, "bench")))
    output, _ = client.communicate()
    endpoint.stop()
    ray.shutdown()
    report(json.loads(output), swaps, backs, own, options)


def change(registry: Any, transition: Any) -> Any:
    """Change the release of the only model."""
    return registry.change_release("model", transition)


def timed(registry: Any, transition: Any) -> tuple[float, float]:
    """Change the release; when that began, and when every replica followed."""
    from rayml.serve.release.status import read_statuses

    start = time.time()
    wanted = change(registry, transition)
    while True:
        statuses = read_statuses(registry.folder("model"))
        if len(statuses) == 2 and all(
            each.follows(wanted.revision, wanted.champion) for each in statuses
        ):
            return start, time.time()
        time.sleep(0.01)


def report(
    seen: list[list[float]],
    swaps: list[tuple[float, float]],
    backs: list[tuple[float, float]],
    own: list[float],
    options: argparse.Namespace,
) -> None:
    """Print what the client saw; stop if an answer is none of a version's own."""
    failed = sum(not right for _, _, right, _ in seen)
    for _, _, right, share in seen:
        if right and min(abs(share - each) for each in own) > 1e-5:
            raise SystemExit(f"{share} is the answer of no version: {own}")
    print(f"{options.swaps} swaps, {options.connections} connections, every answer checked")
    print(f"requests {len(seen)}, failed {failed}")
    rows = []
    for begun, ended in swaps:
        before = [late for at, late, _, _ in seen if begun - options.calm + 1 < at < begun]
        during = [late for at, late, _, _ in seen if begun < at < ended + 0.2]
        rows.append((p99(before), p99(during), ended - begun))
    print(f"{'':8} {'p99 before':>12} {'p99 during':>12} {'ratio':>7} {'seconds':>8}")
    for number, (before, during, spent) in enumerate(rows, 1):
        ratio = during / before
        print(f"swap {number:<3} {before:9.1f} ms {during:9.1f} ms {ratio:7.2f} {spent:8.2f}")
    before, during = median(row[0] for row in rows), median(row[1] for row in rows)
    print(f"{'median':8} {before:9.1f} ms {during:9.1f} ms {during / before:7.2f}")
    spent = [ended - begun for begun, ended in backs]
    print(f"roll back: {median(spent):.2f} s, at most {max(spent):.2f} s, in every replica")


def p99(latencies: list[float]) -> float:
    """In milliseconds."""
    ordered = sorted(latencies)
    return 1e3 * ordered[len(ordered) * 99 // 100]


if __name__ == "__main__":
    main()
