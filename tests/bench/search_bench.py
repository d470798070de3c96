"""Samplers and pruners compared by normalised regret against budget, without training.

    python tests/bench/search_bench.py --data FOLDER [--seeds 10] [--minutes 9]
        [--parts grids,curves,pruning] [--settings 1x1,2x8x1] [--samplers 'A;B']
        [--pruners 'A;B'] [--json FILE]

`grids`: samplers alone on the grids of HPOBench, where the regret is exact; the budget is trials.
`curves`: samplers on LCBench learning curves under the default pruner; the budget is epochs, as
multiples of a full training. `pruning`: the default sampler under each pruner, likewise.
A setting is workers x lanes, or workers x lanes x fillings: lanes of a worker share their
structural values until its cohort has had so many times its lanes of trials. With 0 lanes the study
deals them, as it does in a sweep.

Seeds are the outermost loop and only finished ones count, so that candidates are compared on the
same seeds; nothing begins after `--minutes`, and how many seeds were finished is printed. `--json`
appends each run to a file, and reads those that are there instead of running them.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from simulated import History, Objective, open_study, simulate
from surrogates import grids, tasks

from rayml.settings.search import PrunerSettings, SamplerSettings

SAMPLERS = {
    "random": SamplerSettings(name="random"),
    "qmc": SamplerSettings(name="qmc"),
    "optuna_tpe": SamplerSettings(name="optuna_tpe"),
    "optuna_tpe, univariate": SamplerSettings(name="optuna_tpe", options={"multivariate": False}),
    "tpe": SamplerSettings(name="tpe"),
    "cmaes": SamplerSettings(name="cmaes"),
    "gp": SamplerSettings(name="gp"),
}
PRUNERS = {
    "none": PrunerSettings(name="none"),
    **{
        f"asha {reduction}, {first}": PrunerSettings(
            name="asha", reduction=reduction, min_epochs=first
        )
        for reduction in (2, 3, 4, 6)
        for first in (1, 2, 4)
    },
    "hyperband": PrunerSettings(name="hyperband"),
    "median": PrunerSettings(name="median"),
}
TRIALS = (25, 50, 100, 200)
TRAININGS = (2, 5, 10, 20)


@dataclass(frozen=True)
class Case:
    """A comparison: candidates on one set of objectives in one setting."""

    part: str
    setting: str
    candidates: Mapping[str, tuple[SamplerSettings, PrunerSettings]]

    @property
    def shape(self) -> dict[str, int]:
        """Workers, their lanes, and the fillings of a cohort if they are limited."""
        numbers = map(int, self.setting.split("x"))
        return dict(zip(("workers", "lanes", "fillings"), numbers, strict=False))

    @property
    def budgets(self) -> tuple[int, ...]:
        """In trials, or in full trainings."""
        return TRIALS if self.part == "grids" else TRAININGS


def main() -> None:
    """Run what is asked for, and print a table a comparison."""
    options = _options()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    store = _Store(options.json)
    cases = list(_cases(options))
    curves = tasks(options.data) if any(case.part != "grids" for case in cases) else []
    objectives = {"grids": grids(options.data), "curves": curves, "pruning": curves}
    end, seeds = time.monotonic() + 60 * options.minutes, 0
    while seeds < options.seeds and all(
        _run_seed(
            case, objectives["grids" if case.part == "grids" else "curves"], seeds, store, end
        )
        for case in cases
    ):
        seeds += 1
    if not seeds:
        raise SystemExit(f"no seed was finished in {options.minutes:g} minutes: give it more")
    for case in cases:
        _print(case, objectives[case.part], seeds, store)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RAYML_DATA", "data")))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--parts", default="grids,curves,pruning")
    parser.add_argument("--settings", default="1x1,2x8x1")
    parser.add_argument("--samplers", default="random;qmc;optuna_tpe;tpe")
    parser.add_argument("--pruners", default="none;asha 2, 1;asha 3, 1;asha 4, 1;hyperband;median")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _cases(options: argparse.Namespace) -> Iterator[Case]:
    none, default = PrunerSettings(name="none"), PrunerSettings()
    samplers = {name: _sampler(name) for name in options.samplers.split(";")}
    for part in options.parts.split(","):
        for setting in options.settings.split(","):
            if part == "pruning":
                names = options.pruners.split(";")
                yield Case(part, setting, {n: (SamplerSettings(), PRUNERS[n]) for n in names})
            else:
                pruner = none if part == "grids" else default
                yield Case(part, setting, {n: (s, pruner) for n, s in samplers.items()})


def _sampler(name: str) -> SamplerSettings:
    """By name, or `tpe` with settings as JSON after it."""
    if name in SAMPLERS:
        return SAMPLERS[name]
    kind, given = name.split(" ", 1)
    options = json.loads(given)
    startup = options.pop("startup_trials", SamplerSettings().startup_trials)
    return SamplerSettings(name=kind, startup_trials=startup, options=options)  # type: ignore[arg-type]


class _Store:
    """Regrets at the budgets, by case, candidate, objective and seed."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._found: dict[tuple[Any, ...], list[float]] = {}
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                *key, regrets, seconds = json.loads(line)
                self._found[tuple(key)] = [*regrets, seconds]

    def __contains__(self, key: tuple[Any, ...]) -> bool:
        return key in self._found

    def __getitem__(self, key: tuple[Any, ...]) -> list[float]:
        return self._found[key]

    def put(self, key: tuple[Any, ...], regrets: list[float], seconds: float) -> None:
        self._found[key] = [*regrets, seconds]
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps([*key, regrets, seconds]) + "\n")


def _run_seed(case: Case, objectives: Sequence[Any], seed: int, store: _Store, end: float) -> bool:
    """Run what the store lacks.

    Returns:
        Whether all was run before the time was up.
    """
    for name, (sampler, pruner) in case.candidates.items():
        for place, objective in enumerate(objectives):
            key = (case.part, case.setting, name, objective.name, seed)
            if key in store:
                continue
            if time.monotonic() > end:
                return False
            # Each objective has start-up trials of its own.
            own = seed * len(objectives) + place
            history = _simulate(case, objective, sampler, pruner, own)
            regrets = [_regret(case, objective, history, budget) for budget in case.budgets]
            store.put(key, regrets, history.wall / max(int(history.trials[-1]), 1))
    return True


def _simulate(
    case: Case, objective: Objective, sampler: SamplerSettings, pruner: PrunerSettings, seed: int
) -> History:
    on_grid = case.part == "grids"
    with tempfile.TemporaryDirectory() as folder:
        study = open_study(
            Path(folder) / "journal.log",
            objective,
            trials=TRIALS[-1] if on_grid else 100_000,
            seed=seed,
            sampler=sampler,
            pruner=pruner,
            workers=case.shape["workers"],
        )
        budget = None if on_grid else TRAININGS[-1] * objective.epochs
        history = simulate(study, objective, max_epochs=budget, **case.shape)
        study.close()
    return history


def _regret(case: Case, objective: Any, history: History, budget: int) -> float:
    entry = budget if case.part == "grids" else budget * objective.epochs
    best = float(history.best[min(entry, len(history.best)) - 1])
    return (objective.best - best) / (objective.best - objective.median)


def _print(case: Case, objectives: Sequence[Any], seeds: int, store: _Store) -> None:
    runs = [(objective.name, seed) for objective in objectives for seed in range(seeds)]
    table = np.array(
        [[store[case.part, case.setting, name, *run] for run in runs] for name in case.candidates]
    )
    regrets, seconds = 100 * table[:, :, :-1], table[:, :, -1]
    ranks = (regrets[:, None] > regrets).sum(1) + 0.5 * (regrets[:, None] == regrets).sum(1) + 0.5
    what = "trials" if case.part == "grids" else "full trainings"
    print(f"\n{case.part}, {case.setting}, {seeds} seeds x {len(objectives)} objectives")
    print("normalised regret in percent, mean ± standard error, after so many " + what)
    heads = "".join(f"{budget:>15}" for budget in case.budgets)
    print(f"{'':<34}{heads}{'mean rank':>11}{'ms a trial':>12}")
    for index, name in enumerate(case.candidates):
        each = regrets[index]
        errors = each.std(axis=0, ddof=1) / np.sqrt(len(runs))
        cells = "".join(
            f"{mean:>9.2f} ±{error:>4.2f}"
            for mean, error in zip(each.mean(axis=0), errors, strict=True)
        )
        rank, wall = ranks[index, :, -1].mean(), 1000 * np.median(seconds[index])
        print(f"{name:<34}{cells}{rank:>11.2f}{wall:>12.2f}", flush=True)


if __name__ == "__main__":
    main()
