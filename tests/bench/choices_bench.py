"""Samplers on spaces of choices alone: regret, repeats and cost, on tables of known values.

    python tests/bench/choices_bench.py --data FOLDER [--seeds 20] [--trials 100] [--minutes 9]
        [--at-once 1,8,16] [--samplers 'tpe;tpe {"share": 0.1}'] [--tables additive,hpobench]

The tables: `additive`, a sum of the keys' own effects; `interacting`, in which pairs of keys have
effects of their own; `plateau`, where most points share a value; `noisy`, with noise in what a
trial tells; `small`, of 30 points; `hpobench`, its grids with unordered choices.
Regret is that of the true values: 0 is the best of the table and 1 its median. So many trials are
asked at once, and told before the next ones are asked. All samplers run in a real study, but for
`optuna`, which is a plain Optuna study with its default sampler and repeats.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from simulated import open_study
from surrogates import GRIDS, Grid

from rayml.search.problem.trials import Report
from rayml.settings.search import PrunerSettings, SamplerSettings
from tests.search.plans import tell

Ask = Callable[[int], list[tuple[Any, Mapping[str, Any]]]]
Tell = Callable[[Any, float], None]


@dataclass
class Table:
    """A maximised table over unordered choices; `epochs` and the rest are those of an objective."""

    name: str
    sizes: Sequence[int]
    values: np.ndarray
    noise: float = 0.0
    structural: Sequence[str] = ()
    epochs: int = 1
    direction: Any = "maximize"

    @property
    def tree(self) -> dict[str, Any]:
        """Of the space; names of choices, so that no sampler sees an order."""
        return {
            f"k{i}": {"type": "categorical", "choices": [f"c{j}" for j in range(size)]}
            for i, size in enumerate(self.sizes)
        }

    def value(self, params: Mapping[str, Any]) -> float:
        """Of a point, without noise."""
        place = tuple(int(params[f"k{i}"][1:]) for i in range(len(self.sizes)))
        return float(self.values[place])

    def regret(self, best: float) -> float:
        """0 for the best point, 1 for the median one."""
        top = float(self.values.max())
        return (top - best) / (top - float(np.median(self.values)))


def tables(names: Sequence[str], data: Path, seed: int) -> list[Table]:
    """The tables of a seed: those that are drawn differ from seed to seed."""
    rng = np.random.default_rng(seed)
    made = {
        "additive": lambda: [_drawn("additive", (5, 4, 4, 6, 3), rng, 0.0)],
        "interacting": lambda: [_drawn("interacting", (5, 4, 4, 6, 3), rng, 1.0)],
        "plateau": lambda: [_plateau((6, 5, 5, 6), rng)],
        "noisy": lambda: [_drawn("noisy", (5, 4, 4, 6, 3), rng, 0.3, noise=1.0)],
        "small": lambda: [_drawn("small", (5, 3, 2), rng, 0.5)],
        "hpobench": lambda: [_grid(Grid(data / "hpobench", name)) for name in GRIDS],
    }
    return [table for name in names for table in made[name]()]


def _drawn(
    name: str, sizes: Sequence[int], rng: np.random.Generator, pairs: float, noise: float = 0.0
) -> Table:
    values = np.zeros(sizes)
    axes = range(len(sizes))
    for axis in axes:
        values += _along(rng.normal(size=sizes[axis]) * rng.uniform(0.3, 2), [axis], sizes)
    for one, other in itertools.combinations(axes, 2):
        effect = pairs * rng.normal(size=(sizes[one], sizes[other]))
        values += _along(effect, [one, other], sizes)
    return Table(name, sizes, values, noise)


def _along(effect: np.ndarray, axes: Sequence[int], sizes: Sequence[int]) -> np.ndarray:
    shape = [size if axis in axes else 1 for axis, size in enumerate(sizes)]
    return effect.reshape(shape)


def _plateau(sizes: Sequence[int], rng: np.random.Generator) -> Table:
    smooth = _drawn("plateau", sizes, rng, 0.5)
    values = np.maximum(smooth.values, np.quantile(smooth.values, 0.8))
    values -= 1e-3 * (smooth.values < np.median(smooth.values))
    return Table("plateau", sizes, values)


def _grid(grid: Grid) -> Table:
    sizes = [leaf["high"] + 1 for leaf in grid.tree.values()]
    values = np.empty(sizes)
    for place in np.ndindex(*sizes):
        values[place] = grid.curve(dict(zip(grid.tree, place, strict=True))).values[0]
    return Table(grid.name, sizes, values)


def run(table: Table, sampler: str, seed: int, trials: int, at_once: int) -> dict[str, Any]:
    """Regret after each trial, distinct points, and seconds of an ask."""
    with tempfile.TemporaryDirectory() as folder:
        make = _optuna if sampler == "optuna" else _study
        ask, say = make(table, sampler, seed, trials, Path(folder))
        rng = np.random.default_rng(seed)
        best, track, points, seconds = -np.inf, [], set(), 0.0
        while len(track) < trials:
            start = time.perf_counter()
            asked = ask(min(at_once, trials - len(track)))
            seconds += time.perf_counter() - start
            if not asked:
                break
            for handle, params in asked:
                value = table.value(params)
                best = max(best, value)
                track.append(table.regret(best))
                points.add(tuple(sorted(params.items())))
                say(handle, value + table.noise * rng.normal())
    track += [track[-1]] * (trials - len(track))
    return {"regret": track, "distinct": len(points), "ms": 1000 * seconds / trials}


def _study(table: Table, sampler: str, seed: int, trials: int, folder: Path) -> tuple[Ask, Tell]:
    name, _, options = sampler.partition(" ")
    study = open_study(
        folder / "journal.log",
        table,  # type: ignore[arg-type]
        trials=trials,
        seed=seed,
        sampler=SamplerSettings(name=name, options=json.loads(options or "{}")),  # type: ignore[arg-type]
        pruner=PrunerSettings(name="none"),
    )

    def say(number: int, value: float) -> None:
        study.report([Report(number, 1, value, {}, 0.0, 0.0, 1)])
        tell(study, number, "COMPLETE")

    return lambda n: [(each.number, each.params) for each in study.ask(n)], say


def _optuna(
    table: Table,
    sampler: str,
    seed: int,
    trials: int,
    folder: Path,
) -> tuple[Ask, Tell]:
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))

    def ask_one() -> tuple[Any, Mapping[str, Any]]:
        trial = study.ask()
        return trial, {
            key: trial.suggest_categorical(key, leaf["choices"]) for key, leaf in table.tree.items()
        }

    return lambda n: [ask_one() for _ in range(n)], study.tell


def main() -> None:
    """Run what is asked for, and print a table for each number of trials at once."""
    options = _options()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    samplers = options.samplers.split(";")
    found: dict[tuple[int, str, str], list[dict[str, Any]]] = {}
    end, seeds = time.monotonic() + 60 * options.minutes, 0
    while seeds < options.seeds and time.monotonic() < end:
        for table in tables(options.tables.split(","), options.data, seeds):
            for at_once, sampler in itertools.product(options.at_once, samplers):
                result = run(table, sampler, seeds, options.trials, at_once)
                found.setdefault((at_once, table.name, sampler), []).append(result)
        seeds += 1
    names = list(dict.fromkeys(name for _, name, _ in found))
    for at_once in options.at_once:
        print(
            f"\n{at_once} at once, {seeds} seeds: percent of regret after {options.trials} trials"
        )
        print(f"{'':<28}" + "".join(f"{name:>16}" for name in names) + "   distinct   ms")
        for sampler in samplers:
            _print_row(sampler, [found[at_once, name, sampler] for name in names])


def _print_row(sampler: str, by_table: Sequence[Sequence[Mapping[str, Any]]]) -> None:
    cells = ""
    for runs in by_table:
        last = 100 * np.array([each["regret"][-1] for each in runs])
        error = last.std(ddof=1) / np.sqrt(len(last)) if len(last) > 1 else 0.0
        cells += f"{last.mean():>9.2f} ±{error:>5.2f}"
    every = [each for runs in by_table for each in runs]
    distinct = np.mean([each["distinct"] for each in every])
    ms = np.median([each["ms"] for each in every])
    print(f"{sampler:<28}{cells}{distinct:>11.1f}{ms:>7.1f}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RAYML_DATA", "data")))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--samplers", default="tpe;optuna_tpe;optuna")
    parser.add_argument("--tables", default="additive,interacting,plateau,noisy,small,hpobench")
    parser.add_argument(
        "--at-once", type=lambda text: [int(each) for each in text.split(",")], default=[1, 8, 16]
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
