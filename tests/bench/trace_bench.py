"""Replays of real load shapes in compressed time: what became of each request, and the replicas.

    python -m tests.bench.trace_bench --trace nasa azure burst --upscale-delay 0 1 5

`nasa` is the busiest day of NASA-HTTP (requests a minute, July and August 1995; Arlitt & Williamson
1996), `azure` an hour of Azure's LLM inference (arrivals, code, 2023; Patel et al. 2024); both lie
in a folder of real data sets (`--data`). `burst` needs none: quiet, six times as much, quiet.
A replica answers a batch of 4 in 20 ms without using a processor, as if it had an accelerator.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import tempfile
import threading
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from rayml.serve.endpoint import start
from rayml.settings.serve import ReplicaSettings, ServeSettings
from rayml.testing.arrivals import compressed, from_counts
from rayml.testing.bundles import untrained_bundle
from rayml.testing.load import Load, Report, questions
from tests.conftest import SHARED
from tests.paced_model import Paced

PASS_S, BATCH = 0.02, 4
CAPACITY = BATCH / PASS_S
PHASES = 12


def nasa(data: Path, seconds: float, peak: float) -> list[float]:
    """Its busiest day, thinned so that the busiest second of the replay has `peak` requests."""
    with gzip.open(data / "traces" / "nasa_requests_per_minute.csv.gz", "rt") as file:
        minutes = np.array([int(line) for line in file if line.strip().isdigit()])
    days = minutes[: len(minutes) // 1440 * 1440].reshape(-1, 1440)
    day = days[days.sum(axis=1).argmax()]
    busiest = max(part.sum() for part in np.array_split(day, round(seconds)))
    counts = np.random.default_rng(0).poisson(day * (peak / busiest))
    return from_counts(counts.tolist(), seconds=seconds / len(day), seed=0)


def azure(data: Path, seconds: float, peak: float) -> list[float]:
    """All of its hour, each request once, or fewer so that its busiest second has `peak`."""
    with (data / "traces" / "azure_code_arrivals.csv").open() as file:
        moments = [datetime.fromisoformat(row["TIMESTAMP"][:26]) for row in csv.DictReader(file)]
    times = [moment.timestamp() for moment in moments]
    arrivals = np.array(compressed(times, (max(times) - min(times)) / seconds))
    share = min(1.0, peak / np.bincount(arrivals.astype(int)).max())
    kept: list[float] = arrivals[np.random.default_rng(0).random(len(arrivals)) < share].tolist()
    return kept


def burst(_: Path, seconds: float, peak: float) -> list[float]:
    """Quiet, then six times as much for a third of the time, and quiet again."""
    shape = np.repeat([1 / 6, 1.0, 1 / 6], 100)
    length = seconds / len(shape)
    counts = np.random.default_rng(0).poisson(shape * peak * length)
    return from_counts(counts.tolist(), seconds=length, seed=0)


TRACES = {"nasa": nasa, "azure": azure, "burst": burst}


class Replicas:
    """Counts the replicas that run, twice a second, while the context lasts."""

    def __enter__(self) -> list[int]:
        self.counts: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self.counts

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        from ray import serve

        while not self._over.is_set():
            states = serve.status().applications["rayml"].deployments["predict"].replica_states
            self.counts.append(sum(n for state, n in states.items() if state == "RUNNING"))
            self._over.wait(0.5)


def replay(bundle: Path, arrivals: list[float], options: argparse.Namespace, delay: float) -> None:
    """Replay one plan on a fresh endpoint and print what became of it."""
    replicas = ReplicaSettings(
        min=options.min,
        max=options.max,
        cpu=0.25,
        target_ongoing_requests=options.target,
        upscale_delay_s=delay,
        downscale_delay_s=5,
    )
    settings = ServeSettings(port=0, max_batch_size=BATCH, replicas=replicas)
    asked = questions(bundle, [{"x": n / 1000} for n in range(len(arrivals))])
    endpoint = start(bundle, version="1", settings=settings)
    try:
        with Replicas() as counts, Load(endpoint.url, asked, arrivals=arrivals) as load:
            load.finish()
    finally:
        endpoint.stop()
    show(load.report, counts, options.seconds)


def show(report: Report, counts: list[int], seconds: float) -> None:
    """Print each phase, and the whole."""
    print(report)
    print("  from s  rate  p50 ms  p99 ms  refused  lost  replicas")
    for phase in range(PHASES):
        start, end = (seconds * (phase + step) / PHASES for step in (0, 1))
        part = report.between(start, end)
        seen = counts[int(2 * start) : int(2 * end)] or counts[-1:]
        p50, p99 = (part.percentile(percent) * 1e3 for percent in (50, 99))
        print(
            f"  {start:6.1f} {len(part.due) / (end - start):5.0f} {p50:7.0f} {p99:7.0f} "
            f"{part.refused:8d} {part.lost + part.wrong:5d}  {min(seen)} to {max(seen)}"
        )


def main() -> None:
    """Replay each trace with each delay."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trace", nargs="+", choices=TRACES, default=[*TRACES])
    parser.add_argument("--upscale-delay", nargs="+", type=float, default=[1.0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--peak", type=float, default=2 * CAPACITY, help="requests a second")
    parser.add_argument("--target", type=float, default=8)
    parser.add_argument("--min", type=int, default=1)
    parser.add_argument("--max", type=int, default=4)
    parser.add_argument("--data", type=Path, default=SHARED)
    options = parser.parse_args()

    import ray

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    table = pa.table({"x": [0.0, 1.0, 2.0], "y": ["a", "b", "a"]})
    model = {"_target_": f"{Paced.__module__}.{Paced.__name__}", "seconds": PASS_S}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "paced"
        bundle = untrained_bundle(path, table, target="y", task="binary", model=model)
        for name in options.trace:
            arrivals = TRACES[name](options.data, options.seconds, options.peak)
            for delay in options.upscale_delay:
                print(
                    f"\n{name}, upscale delay {delay:g} s, a replica answers {CAPACITY:g} a second"
                )
                replay(bundle, arrivals, options, delay)
    ray.shutdown()


if __name__ == "__main__":
    main()
