"""Peers of the benchmark of answers: LightGBM, Optuna's search of it, and AutoGluon on one table.

Run as `python table_answers.py SIDE TABLE.csv TARGET TASK SECONDS`; prints one line of JSON with
the scores on the test rows, the seconds of training and the milliseconds of one row. Training may
use the rows of train and validation as it likes. Sides: lightgbm (early stopping on the validation
rows), optuna (20 trials of that, or as many as the seconds allow), medium and best (AutoGluon's
presets).
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")
_PRESETS = {"medium": "medium_quality", "best": "best_quality"}
_THREADS = 2


def main() -> None:
    """Train, and score the test rows once."""
    side, path, target, task = sys.argv[1:5]
    seconds = float(sys.argv[5])
    frame = pd.read_csv(path)
    splits = {name: part.drop(columns="split") for name, part in frame.groupby("split")}
    start = time.perf_counter()
    predict = (
        _autogluon(splits, target, task, seconds, _PRESETS[side])
        if side in _PRESETS
        else _lightgbm(splits, target, task, seconds, trials=20 if side == "optuna" else 0)
    )
    spent = time.perf_counter() - start
    test = splits["test"]
    print(
        json.dumps(
            {
                **_scores(test[target].to_numpy(), predict(test), task),
                "seconds": spent,
                "row_ms": _row_ms(predict, test),
            }
        )
    )


def _autogluon(
    splits: dict[str, pd.DataFrame], target: str, task: str, seconds: float, preset: str
) -> Callable[[pd.DataFrame], Any]:
    from autogluon.tabular import TabularPredictor

    metric = "rmse" if task == "regression" else "log_loss"
    folder = f"{tempfile.mkdtemp(prefix='autogluon-')}/predictor"
    predictor = TabularPredictor(
        label=target, problem_type=task, eval_metric=metric, path=folder, verbosity=0
    )
    rows = pd.concat([splits["train"], splits["validation"]])
    predictor.fit(rows, presets=preset, time_limit=seconds, num_cpus=_THREADS)

    def predict(table: pd.DataFrame) -> Any:
        if task == "regression":
            return predictor.predict(table).to_numpy()
        return predictor.predict_proba(table, as_multiclass=True)

    return predict


def _lightgbm(
    splits: dict[str, pd.DataFrame], target: str, task: str, seconds: float, trials: int
) -> Callable[[pd.DataFrame], Any]:
    import lightgbm

    deadline = time.perf_counter() + seconds
    features = _encoder(splits["train"].drop(columns=target))
    classes = sorted(splits["train"][target].unique()) if task != "regression" else []
    places = {label: place for place, label in enumerate(classes)}

    def rows(name: str) -> tuple[pd.DataFrame, Any]:
        values = splits[name][target]
        return features(splits[name]), values.map(places) if classes else values

    objective = {"regression": "regression", "binary": "binary", "multiclass": "multiclass"}[task]
    fixed = {
        "objective": objective,
        "verbosity": -1,
        "num_threads": _THREADS,
        **({"num_class": len(classes)} if task == "multiclass" else {}),
    }
    train, held = (lightgbm.Dataset(*rows(name)) for name in ("train", "validation"))

    def fit(own: dict[str, Any]) -> Any:
        stop = lightgbm.early_stopping(50, verbose=False)
        # Bins depend on no searched setting, but LightGBM asks for sets that are made anew.
        parts = [lightgbm.Dataset(*rows(name)) for name in ("train", "validation")]
        parameters = {**fixed, **own}
        return lightgbm.train(parameters, parts[0], 5000, [parts[1]], callbacks=[stop])

    best = fit({"learning_rate": 0.05})
    del train, held
    if trials:
        best = _searched(fit, best, trials, deadline)

    def predict(table: pd.DataFrame) -> Any:
        found = best.predict(features(table))
        if not classes:
            return found
        found = np.column_stack([1 - found, found]) if task == "binary" else found
        return pd.DataFrame(found, columns=classes)

    return predict


def _searched(fit: Callable[[dict[str, Any]], Any], best: Any, trials: int, deadline: float) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found = [best]

    def objective(trial: Any) -> float:
        booster = fit(
            {
                "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.1, log=True),
                "num_leaves": trial.suggest_int("num_leaves", 8, 200, log=True),
                "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 2, 64, log=True),
                "feature_fraction": trial.suggest_float("feature_fraction", 0.4, 1.0),
                "bagging_fraction": trial.suggest_float("bagging_fraction", 0.7, 1.0),
                "bagging_freq": 1,
                "lambda_l2": trial.suggest_float("lambda_l2", 1e-3, 10.0, log=True),
                "extra_trees": trial.suggest_categorical("extra_trees", [False, True]),
            }
        )
        found.append(booster)
        return _held_out(booster)

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=trials, timeout=deadline - time.perf_counter())
    return min(found, key=_held_out)


def _held_out(booster: Any) -> float:
    return float(next(iter(booster.best_score["valid_0"].values())))


def _encoder(train: pd.DataFrame) -> Callable[[pd.DataFrame], pd.DataFrame]:
    kinds = {
        name: pd.CategoricalDtype(sorted(train[name].dropna().astype(str).unique()))
        for name in train
        if train[name].dtype.kind not in "ifb"
    }

    def encode(table: pd.DataFrame) -> pd.DataFrame:
        found = table[list(train)].copy()
        for name, kind in kinds.items():
            found[name] = found[name].astype("str").where(found[name].notna()).astype(kind)
        return found.rename(columns=lambda name: "".join(c if c.isalnum() else "_" for c in name))

    return encode


def _scores(truth: Any, found: Any, task: str) -> dict[str, float]:
    if task == "regression":
        return {"rmse": float(np.sqrt(np.mean((truth - np.asarray(found)) ** 2)))}
    labels = list(found.columns)
    probabilities = found.to_numpy(dtype=float)
    places = np.array([labels.index(each) if each in labels else -1 for each in truth])
    right = np.where(places >= 0, probabilities[np.arange(len(truth)), places], 0.0)
    loss = -np.log(np.clip(right, 1e-15, 1.0)).mean()
    return {
        "accuracy": float((probabilities.argmax(1) == places).mean()),
        "log_loss": float(loss),
    }


def _row_ms(predict: Callable[[pd.DataFrame], Any], test: pd.DataFrame) -> float:
    times = []
    for place in range(min(15, len(test))):
        row = test.iloc[place : place + 1]
        start = time.perf_counter()
        predict(row)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


if __name__ == "__main__":
    main()
