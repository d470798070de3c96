"""Networks with embeddings of numbers on published splits: test scores, and a row's latency.

    python tests/bench/embeddings_bench.py FOLDER [--only california/plr …] [--seeds 5]
    python tests/bench/embeddings_bench.py FOLDER --latency

FOLDER holds `adult/` (the files of UCI and the index of the published validation split) and
`california/california_housing.csv` with a column `split`. Each configuration is trained over the
seeds as lanes; validation chooses the epoch, and the test split is read once. `--latency` times a
row of an untrained bundle, as a replica predicts it. Needs no Ray.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv
import torch

from rayml.data.fit.observe import observe
from rayml.data.fit.preprocess import Preprocessor
from rayml.data.rows.infer_schema import infer_schema
from rayml.models.estimators.members import Committee, Member
from rayml.models.layers.numeric import KINDS
from rayml.serve.predict.predictor import Predictor
from rayml.settings.data import PreprocessSettings, SchemaSettings
from rayml.testing.bundles import untrained_bundle
from rayml.train.build import build_member, build_trial_task
from rayml.train.seed_results import SeedResult
from rayml.train.seeds import train_seeds
from rayml.types import Examples, Features, TaskName

ADULT = (
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation"),
    *("relationship", "race", "sex", "capital-gain", "capital-loss", "hours-per-week"),
    *("native-country", "income"),
)


class Data(NamedTuple):
    """A prepared data set."""

    preprocessor: Preprocessor
    splits: tuple[Examples, Examples, Examples]


def california(folder: Path) -> tuple[pa.Table, ...]:
    """The rows of the three splits."""
    table = pc_csv.read_csv(folder / "california" / "california_housing.csv")
    parts = (table.filter(pc.equal(table["split"], n)) for n in ("train", "val", "test"))
    return tuple(part.drop_columns(["split"]) for part in parts)


def adult(folder: Path) -> tuple[pa.Table, ...]:
    """The rows of the three splits."""
    known, test = (_adult_rows(folder / "adult" / name) for name in ("adult.data", "adult.test"))
    held = np.load(folder / "adult" / "idx_val.npy")
    train = np.setdiff1d(np.arange(known.num_rows), held)
    return known.take(train), known.take(held), test


def _adult_rows(path: Path) -> pa.Table:
    lines = [line.rstrip(".").split(", ") for line in path.read_text().splitlines()]
    columns = zip(*(line for line in lines if len(line) == len(ADULT)), strict=True)
    table = {}
    for name, values in zip(ADULT, columns, strict=True):
        texts = pa.array([None if value == "?" else value for value in values])
        numeric = values[0].isdigit()
        table[name] = texts.cast(pa.float64()) if numeric else texts
    return pa.table(table)


SETS: Mapping[str, tuple[Any, str, TaskName]] = {
    "california": (california, "MedHouseVal", "regression"),
    "adult": (adult, "income", "binary"),
}


def prepare(name: str, folder: Path, numeric: str) -> Data:
    """Fit a preprocessor to the training split and transform all."""
    read, target, task = SETS[name]
    tables = read(folder)
    schema = infer_schema(tables[0], target=target, settings=SchemaSettings())
    settings = PreprocessSettings(numeric=numeric, quantiles=1000)  # type: ignore[arg-type]
    fitted = Preprocessor.fit(schema, observe(tables[0], schema, task), settings, task)
    examples = (
        Examples(fitted.transform_batch(each), fitted.encode_target(each[target]))
        for each in tables
    )
    train, validation, test = examples
    return Data(fitted, (train, validation, test))


class Case(NamedTuple):
    """A configuration: the model's own settings and those of training that differ."""

    preprocess: str
    model: Mapping[str, Any]
    train: Mapping[str, Any]


def case(preprocess: str = "quantile", *, epochs: int = 100, **values: Any) -> Case:
    """A case from its settings; `train__lr` is one of training."""
    train = {k.removeprefix("train__"): v for k, v in values.items() if k.startswith("train__")}
    model = {k: v for k, v in values.items() if not k.startswith("train__")}
    return Case(preprocess, model, {"epochs": epochs, "patience": 16, **train})


PIECEWISE: dict[str, Any] = {"numeric": "piecewise", "bins": 128, "numeric_width": 32}
SIZES: Mapping[str, Mapping[str, Any]] = {
    "plr": {"numeric": "plr", "sigma": 3.0},
    "plr_lite": {"numeric": "plr_lite", "sigma": 3.0},
    "piecewise": PIECEWISE,
}
CALIFORNIA: dict[str, Any] = {"width": 512, "depth": 2, "dropout": 0.3, "epochs": 50}
ADULT_MLP: dict[str, Any] = {"width": 256, "depth": 2, "dropout": 0.4, "epochs": 15}
AVERAGED: dict[str, Any] = {"train__ema": 0.99}
TABM: dict[str, Any] = {
    "_target_": "rayml.models.nets.tabm.TabM",
    "k": 8,
    "width": 256,
    "numeric": "piecewise",
    "numeric_width": 16,
    "bins": 128,
    "epochs": 50,
    "train__lr": 1e-2,
}
CASES: dict[str, Case] = {
    "california/tabm, averaged": case(**TABM, **AVERAGED),
    "california/piecewise, averaged": case(**CALIFORNIA, **PIECEWISE, **AVERAGED),
    "california/piecewise": case(**CALIFORNIA, **PIECEWISE),
    "california/plr, averaged": case(**CALIFORNIA, numeric="plr", sigma=0.3, **AVERAGED),
    "california/none, averaged": case(**CALIFORNIA, **AVERAGED),
    "california/none": case(**CALIFORNIA),
    "california/none, standard": case("standard", **CALIFORNIA),
    **{
        f"adult/{kind}, averaged": case("standard", **ADULT_MLP, **own, **AVERAGED)
        for kind, own in SIZES.items()
    },
    "adult/plr": case("standard", **ADULT_MLP, **SIZES["plr"]),
    "adult/none, averaged": case("standard", **ADULT_MLP, **AVERAGED),
    "adult/none": case("standard", **ADULT_MLP),
}


def config_of(chosen: Case) -> dict[str, Any]:
    """The config of a trial."""
    train = dict(chosen.train)
    optimizer = {"lr": train.pop("lr", 1e-3), "weight_decay": train.pop("weight_decay", 1e-2)}
    return {
        "model": {"_target_": "rayml.models.nets.mlp.MLP", **chosen.model},
        "task": {"metric": None, "metrics": {}},
        "train": {
            "batch_size": 256,
            "eval_batch_size": 8192,
            "seed": 0,
            "optimizer": optimizer,
            **train,
        },
    }


def run(name: str, chosen: Case, folder: Path, seeds: int) -> str:
    """Train a case and describe it in a line."""
    preprocessor, (train, validation, test) = prepare(
        name.partition("/")[0], folder, chosen.preprocess
    )
    shape, target = preprocessor.shape, preprocessor.target
    config = config_of(chosen)
    task = build_trial_task(config["task"], target)
    start = time.perf_counter()
    promised, kept, epochs, member = [], [], [], None
    for result in train_seeds(
        config, range(seeds), train=train, validation=validation, shape=shape, target=target
    ):
        assert isinstance(result, SeedResult)
        member = build_member(config, result.weights, shape=shape, target=target)
        promised.append(result.best.value)
        epochs.append(result.best.epoch)
        kept.append(Committee([member]).measure(task, test)[task.metric])
    assert member is not None
    seconds = time.perf_counter() - start
    return (
        f"{name}: {task.metric} test {np.mean(kept):.4f} +- {np.std(kept):.4f}, validation"
        f" {np.mean(promised):.4f}, best epochs {epochs}, {seconds:.0f} s,"
        f" a row {_latency(member, test):.0f} µs; {dict(chosen.model)} {dict(chosen.train)}"
    )


def _latency(member: Member, test: Examples) -> float:
    """Least time of the forward pass of one row, in µs."""
    row = Features(test.features.numeric[:1], test.features.categorical[:1])
    return _least(lambda: member.single(row))


def latency(folder: Path) -> None:
    """Print the time of one row in a replica: preprocessing, forward pass and decoding."""
    for name, (read, target, task) in SETS.items():
        table = read(folder)[0]
        row = table.drop_columns([target]).slice(0, 1).to_pylist()
        for kind in KINDS:
            model: dict[str, Any] = {"_target_": "rayml.models.nets.mlp.MLP", "width": 256}
            model |= SIZES.get(kind, {})
            with TemporaryDirectory() as made:
                bundle = Path(made) / "bundle"
                untrained_bundle(bundle, table, target=target, task=task, model=model)
                predictor = Predictor.load(bundle)
                best = _least(lambda: predictor.predict_rows(row))  # noqa: B023
            print(f"{name}, {kind}: {best:.0f} µs a row", flush=True)


def _least(call: Callable[[], object], times: int = 2000) -> float:
    """Least time of a call, in µs."""
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return 1e6 * best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", default=list(CASES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--latency", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.latency:
        latency(options.folder)
        return
    for name in options.only:
        print(run(name, CASES[name], options.folder, options.seeds), flush=True)


if __name__ == "__main__":
    main()
