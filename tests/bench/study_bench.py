"""Milliseconds of the study's calls at 1,000 and 10,000 trials, beside plain Optuna.

    python tests/bench/study_bench.py [--trials 500 1000 9000 10000] [--calls 20]
        [--workers 2] [--lanes 16]

A simulated sweep (learning curves from a formula, no training) runs through the study with its
default sampler and pruner and its journal on disk. At each number of finished trials it halts, and
`ask`, `report` and `tell` are measured on the live study; then on plain Optuna with its own
default sampler over the same trials, once with `JournalFileBackend` on a copy of the journal and
once with `InMemoryStorage`. Takes one to three minutes.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from simulated import Curve, History, open_study, simulate

from rayml.search.space.space import Space
from rayml.search.study.study import Study
from rayml.settings.search import PrunerSettings, SamplerSettings
from tests.search.plans import report, tell

CALLS = ("ask", "report", "tell")
OWN = ("ask, fixed", "snapshot")
Times = dict[str, float]


class Formula:
    """Seven parameters, one of them conditional; curves that fall towards a smooth optimum."""

    epochs = 9
    direction: Literal["minimize"] = "minimize"
    structural = ("width", "depth", "batch")
    tree: Mapping[str, Any] = {
        "width": {"type": "int", "low": 16, "high": 256, "step": 16},
        "depth": {"type": "int", "low": 1, "high": 4},
        "batch": {"type": "categorical", "choices": [64, 128, 256]},
        "lr": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
        "dropout": {"type": "float", "low": 0.0, "high": 0.5},
        "kind": {"type": "categorical", "choices": ["adam", "sgd"]},
        "momentum": {"type": "float", "low": 0.0, "high": 0.99, "when": {"kind": "sgd"}},
    }

    def curve(self, params: Mapping[str, Any]) -> Curve:
        """Nearer to the optimum is lower, and is so from the first epoch on."""
        far = (params["width"] / 256 - 0.6) ** 2 + (params["dropout"] - 0.2) ** 2
        far += abs(params["lr"] - 1e-3) ** 0.5 + 0.1 * abs(params["depth"] - 2)
        far += (params.get("momentum", 0.5) - 0.9) ** 2
        return Curve([far + (0.5 + far) / epoch for epoch in range(1, self.epochs + 1)])


def main() -> None:
    """Run the sweep, halt, measure, and print the table."""
    options = _options()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    halts: dict[int, dict[str, Times]] = {}
    marks: list[tuple[int, float, float]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        study = open_study(
            folder / "journal.log",
            Formula(),
            # Those that run when the sweep halts, and those that are asked to be measured.
            trials=max(options.trials)
            + options.workers * options.lanes
            + 2 * options.calls * len(options.trials),
            seed=0,
            sampler=SamplerSettings(),
            pruner=PrunerSettings(),
        )
        stopwatch = _Stopwatch()

        def watch(finished: int) -> None:
            for count in options.trials:
                if finished >= count and count not in halts:
                    marks.append((finished, *stopwatch.read()))
                    halts[count] = _measure(study, folder, options.calls)
                    stopwatch.leave_out(marks[-1][1:])

        history = simulate(
            study, Formula(), workers=options.workers, lanes=options.lanes, watch=watch
        )
        study.close()
    _print(halts, marks, history)


class _Stopwatch:
    """Seconds by the clock and of this process's CPU time, without what is left out."""

    def __init__(self) -> None:
        self._start = (time.perf_counter(), time.process_time())

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._start[0], time.process_time() - self._start[1]

    def leave_out(self, since: tuple[float, float]) -> None:
        """Go on from an earlier reading."""
        self._start = (time.perf_counter() - since[0], time.process_time() - since[1])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[500, 1000, 9000, 10_000])
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--lanes", type=int, default=16)
    return parser.parse_args()


def _measure(study: Study, folder: Path, calls: int) -> dict[str, Times]:
    # First, while this process holds the trials but once.
    own = _ours(study, calls)
    copy = folder / "copy.log"
    shutil.copy(folder / "journal.log", copy)
    file = JournalStorage(JournalFileBackend(str(copy)))
    memory = optuna.create_study(storage=InMemoryStorage())
    loaded = optuna.load_study(study_name="simulated", storage=file)
    # Zombies of the live study would be running trials here too.
    memory.add_trials(loaded.get_trials(deepcopy=False))
    return {
        "rayml": own,
        "JournalFileBackend": _peer(loaded, calls),
        "InMemoryStorage": _peer(memory, calls),
    }


def _ours(study: Study, calls: int) -> Times:
    objective = Formula()
    measured: dict[str, list[float]] = {call: [] for call in (*CALLS, *OWN)}
    for _ in range(calls):
        [trial] = _timed(measured["ask"], study.ask)
        fixed = {key: trial.params[key] for key in objective.structural}
        [other] = _timed(measured["ask, fixed"], lambda: study.ask(1, fixed))  # noqa: B023
        for each in (trial, other):
            value = objective.curve(each.params).values[0]
            _timed(
                measured["report"],
                lambda: report(study, each.number, 1, value, {"value": value}),  # noqa: B023
            )
            _timed(measured["tell"], lambda: tell(study, each.number, "COMPLETE", value))  # noqa: B023
        _timed(measured["snapshot"], lambda: study.snapshot(trial.number))  # noqa: B023
    return _medians(measured)


def _peer(study: optuna.Study, calls: int) -> Times:
    objective, space = Formula(), Space.parse(Formula.tree)
    measured: dict[str, list[float]] = {call: [] for call in CALLS}
    for _ in range(calls):
        start = time.perf_counter()
        trial = study.ask()
        params = space.suggest(trial, {})
        measured["ask"].append(time.perf_counter() - start)
        value = objective.curve(params).values[0]
        _timed(measured["report"], lambda: trial.report(value, 1))  # noqa: B023
        _timed(measured["tell"], lambda: study.tell(trial, value))  # noqa: B023
    return _medians(measured)


def _timed(times: list[float], call: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    found = call()
    times.append(time.perf_counter() - start)
    return found


def _medians(measured: Mapping[str, list[float]]) -> Times:
    return {call: 1000 * statistics.median(times) for call, times in measured.items()}


def _print(
    halts: Mapping[int, dict[str, Times]],
    marks: Sequence[tuple[int, float, float]],
    history: History,
) -> None:
    for count, sides in halts.items():
        print(f"\nat {count} finished trials, median milliseconds (times rayml's)")
        print(f"{'':<22}" + "".join(f"{call:>20}" for call in CALLS))
        for side, times in sides.items():
            own = sides["rayml"]
            cells = (f"{times[call]:.3f} ({times[call] / own[call]:.1f})" for call in CALLS)
            print(f"{side:<22}" + "".join(f"{cell:>20}" for cell in cells))
        own = ", ".join(f"{call} {sides['rayml'][call]:.3f}" for call in OWN)
        print(f"rayml: {own}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"\npeak resident memory of the process, peers included: {peak} MiB")
    done = int(history.trials[-1])
    print(f"\nsimulated sweep: {done} trials, {len(history.trials)} epochs")
    for before, after in itertools.pairwise([(0, 0.0, 0.0), *marks]):
        trials = after[0] - before[0]
        clock, cpu = ((after[i] - before[i]) / trials for i in (1, 2))
        print(
            f"trials {before[0]} to {after[0]}: {1000 * clock:.2f} ms a trial"
            f" ({1000 * cpu:.2f} ms of CPU time), {1 / clock:.0f} trials/s"
        )


if __name__ == "__main__":
    main()
