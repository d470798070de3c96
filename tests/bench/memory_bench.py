"""Memory of a sweep over Adult while all its trials train as the lanes of one cohort.

    python tests/bench/memory_bench.py [--data FOLDER] [--lanes 64] [--epochs 10]

Processes are those below the command, told apart by their names: rayml's own are the command, the
study and the workers that train or prepare; Ray's are its servers, agents, idle workers and
the actors that Ray Data keeps. Resident memory counts a page that several processes share once for
each, the proportional set size (Linux's `smaps_rollup`) once in all. The largest sum seen counts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.processes import command, descendants  # noqa: E402

RAYS = (b"raylet", b"gcs_server", b"_private", b"dashboard", b"ray::IDLE", b"_StatsActor")
RAYS += (b"_AutoscalingCoordinatorActor", b"default_worker.py", b"setup_worker.py", b"Agent")
INTERVAL_S = 0.25
MB = 1e6


def main() -> None:
    """Run a sweep, watch its processes, and print what they held at most."""
    options = _options()
    with tempfile.TemporaryDirectory() as home:
        _run(home, "prepare", options.data).wait()
        process = _run(
            home,
            "sweep",
            options.data,
            f"search.trials={options.lanes}",
            f"search.cohort.lanes={options.lanes}",
            "search.concurrency=1",
            "search.pruner.name=none",
            f"train.epochs={options.epochs}",
            "train.batch_size=128",
            "space=none",
            "+space.train.optimizer.lr={type: float, low: 0.0001, high: 0.03, log: true}",
            "confirm=none",
        )
        largest = watch(process)
    assert process.returncode == 0, process.returncode
    print(f"{options.lanes} lanes on Adult, MB at most")
    for measure, (total, parts) in largest.items():
        print(f"{measure}: rayml {total / MB:.0f}")
        for name, size in parts.most_common():
            print(f"    {name:<40}{size / MB:>8.0f}")


def watch(process: subprocess.Popen[bytes]) -> Mapping[str, tuple[float, Counter[str]]]:
    """The largest sum over rayml's processes until a command ends, and its parts."""
    largest: dict[str, tuple[float, Counter[str]]] = {}
    while process.poll() is None:
        sums: dict[str, Counter[str]] = {"resident": Counter(), "proportional": Counter()}
        for pid in [process.pid, *descendants(process.pid)]:
            line = command(pid)
            if not line or any(part in line for part in RAYS):
                continue
            for measure, size in memory(pid).items():
                sums[measure][_name(line)] += size
        for measure, parts in sums.items():
            if sum(parts.values()) > largest.get(measure, (0, None))[0]:
                largest[measure] = (sum(parts.values()), parts)
        time.sleep(INTERVAL_S)
    return largest


def memory(pid: int) -> dict[str, int]:
    """Resident and proportional bytes of a process; none if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError):
        return {}
    fields = {name: int(rest.split()[0]) * 1024 for name, rest in (x.split(":", 1) for x in lines)}
    return {"resident": fields["Rss"], "proportional": fields["Pss"]}


def _name(line: bytes) -> str:
    words = line.replace(b"\0", b" ").decode(errors="replace").split()
    return words[0] if words[0].startswith("ray::") else " ".join(words[1:4])


def _run(home: str, verb: str, data: str, *words: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "RAYML_HOME": f"{home}/runs"}
    line = [sys.executable, "-m", "rayml", verb, "data=adult", f"paths.data={data}", *words]
    return subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("RAYML_DATA", "data"))
    parser.add_argument("--lanes", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    return parser.parse_args()


if __name__ == "__main__":
    main()
