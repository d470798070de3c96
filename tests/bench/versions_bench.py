"""The endpoint and the sweep of this checkout beside those of another one, in turns.

    python tests/bench/versions_bench.py ../before [--rounds 3] [--seconds 3] [--only serve]

Each checkout has its own `.venv`. The other one writes the bundle, which both serve, so an older
one is read here. A sweep is the command over prepared data, its start and that of its Ray included.
Read the ratios: over 1 this checkout is the faster one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from serve_bench import RAYML, Case, Server, check
from servers import HERE, load, server

SWEEP = (
    "data=breast_cancer",
    "search.trials=64",
    "train.epochs=20",
    "confirm=none",
)
CASE = """
import json, sys
from pathlib import Path
sys.path.insert(0, "tests/bench")
from serve_bench import RAYML, make_case
case = make_case(Path(sys.argv[1]))
print(json.dumps([case.servers[RAYML].bodies, case.expected, case.positive]))
"""


def main() -> None:
    """Measure both checkouts in turns and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--only", choices=["serve", "sweep"])
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    places = {"before": options.before.resolve(), "now": HERE.parents[1]}
    with tempfile.TemporaryDirectory() as temporary:
        if options.only != "sweep":
            serve(places, Path(temporary), options)
        if options.only != "serve":
            sweep(places, Path(temporary), options)


def serve(places: dict[str, Path], folder: Path, options: argparse.Namespace) -> None:
    """Requests per second of each endpoint over the same bundle."""
    case = older_case(places["before"], folder)
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(options.rounds):
        for name, place in places.items():
            app = str(place / "tests" / "bench" / "endpoint_app.py")
            command = [app, str(folder / "bundle"), "haproxy"]
            bodies = case.servers[RAYML].bodies
            with server(*command, python=python_of(place), body=bodies[0], source=place) as port:
                for count in options.connections:
                    load(port, bodies, folder, connections=count, seconds=0.7)
                    seen = load(port, bodies, folder, connections=count, seconds=options.seconds)
                    check(seen, case)
                    rates.setdefault((name, count), []).append(seen["rate"])
    for count in options.connections:
        before, now = (median(rates[name, count]) for name in places)
        print(
            f"{count:3} connections: {before:7.0f} and {now:7.0f} req/s, {now / before:.2f} times"
        )


def older_case(place: Path, folder: Path) -> Case:
    """A bundle that the checkout writes, with the requests and the right answers."""
    command = [python_of(place), "-c", CASE, str(folder)]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True)
    bodies, expected, positive = json.loads(done.stdout.splitlines()[-1])
    return Case({RAYML: Server([], bodies)}, expected, positive)


def sweep(places: dict[str, Path], folder: Path, options: argparse.Namespace) -> None:
    """Seconds of the same sweep."""
    seconds: dict[str, list[float]] = {name: [] for name in places}
    for number in range(options.rounds + 1):
        for name, place in places.items():
            environment = {**os.environ, "RAYML_HOME": str(folder / name)}
            command = [python_of(place), "-m", "rayml", "sweep", *SWEEP]
            start = time.perf_counter()
            subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, check=True
            )
            if number:  # the first one prepares the data
                seconds[name].append(time.perf_counter() - start)
    before, now = (median(seconds[name]) for name in places)
    print(f"a sweep of 64 trials: {before:.1f} and {now:.1f} s, {before / now:.2f} times")


def python_of(place: Path) -> str:
    """The interpreter of a checkout."""
    return str(place / ".venv" / "bin" / "python")


if __name__ == "__main__":
    main()
