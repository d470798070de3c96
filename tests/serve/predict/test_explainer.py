"""Explanations add up, column by column, to what the predictor itself answers."""

from __future__ import annotations

import itertools
import math
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from rayml.config.components.trust import Trust
from rayml.errors import ExplainError, RequestError
from rayml.serve.predict.explainer import Explainer, Explanation
from rayml.serve.predict.predictor import Predictor
from rayml.testing.bundles import untrained_bundle
from rayml.types import FeatureShape
from tests.serve.conftest import TIMES

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "size": st.none() | st.floats(-1e6, 1e6),
            "count of parts": st.none() | st.floats(-10, 20),
            "colour": st.none() | st.sampled_from(["red", "blue", "green", "never seen"]),
            "new": st.none() | st.booleans(),
            "seen": st.none() | st.sampled_from(TIMES),
        }
    ),
    min_size=1,
    max_size=4,
)


def make(predictor: Predictor, **options: Any) -> Explainer:
    return Explainer(predictor, **{"tolerance": 1e-3, "max_steps": 4096, **options})


def inputs_of(predictor: Predictor, table: pa.Table) -> pa.Table:
    return table.select([column.name for column in predictor.signature.inputs])


def answered(predictor: Predictor, rows: list[dict[str, Any]], label: object) -> list[float]:
    """What `/predict` would say of the number that is explained."""
    answers = predictor.predict_rows(rows)
    return [
        answer["value"] if "value" in answer else answer["probabilities"][label or answer["label"]]
        for answer in answers
    ]


def require_complete(
    predictor: Predictor, explainer: Explainer, rows: list[dict[str, Any]], found: list[Explanation]
) -> None:
    baseline = explainer.baseline()
    for row, each in zip(rows, found, strict=True):
        label = each.get("label")
        [prediction], [start] = (answered(predictor, [values], label) for values in (row, baseline))
        sums = sum(each["attributions"].values())
        assert list(each["attributions"]) == [c.name for c in predictor.signature.inputs]
        assert each["prediction"] == pytest.approx(prediction, rel=1e-5, abs=1e-5)
        assert each["baseline"] == pytest.approx(start, rel=1e-5, abs=1e-5)
        assert each["delta"] == pytest.approx(each["prediction"] - each["baseline"] - sums)
        assert abs(prediction - start - sums) <= each["tolerance"] + 1e-5 * abs(prediction) + 1e-5
        usual = predictor.signature.target.scale
        # An ensemble's is the mean over its members, whose differences may be larger.
        assert each["tolerance"] >= 0.999e-3 * max(usual, abs(prediction - start))
        assert each["converged"]


quick = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@quick
@given(rows=ROWS)
def test_attributions_add_up(predictor: Predictor, rows: list[dict[str, Any]]) -> None:
    explainer = make(predictor)
    require_complete(predictor, explainer, rows, explainer.explain(predictor.table(rows)))


@quick
@given(rows=ROWS)
def test_those_of_an_ensemble_add_up(ensemble: Predictor, rows: list[dict[str, Any]]) -> None:
    explainer = make(ensemble)
    require_complete(ensemble, explainer, rows, explainer.explain(ensemble.table(rows)))


def test_only_columns_that_differ_from_the_baseline_matter(predictor: Predictor) -> None:
    """The map from features to columns, for every kind, value and indicator alike."""
    explainer = make(predictor)
    typical = explainer.baseline()
    values = {
        "size": (3.0, None),
        "count of parts": (7.0,),
        "colour": ("green", None),
        "new": (not typical["new"], None),
        "seen": (TIMES[5], None),
    }
    assert list(values) == [column.name for column in predictor.signature.inputs]
    for name, changes in values.items():
        for value in changes:
            [found] = explainer.explain(predictor.table([typical | {name: value}]))
            others = {**found["attributions"]}
            own = others.pop(name)
            assert set(others.values()) == {0.0}, (name, value)
            assert own != 0
            assert own == pytest.approx(
                found["prediction"] - found["baseline"], abs=found["tolerance"]
            )


def test_the_baseline_is_the_typical_row_of_training(binary_bundle: Path) -> None:
    predictor = Predictor.load(binary_bundle)
    explainer = make(predictor)
    typical = explainer.baseline()
    assert typical | {"seen": None} == {**predictor.signature.example(), "seen": None}
    assert (typical["colour"], typical["new"], typical["count of parts"]) == ("red", True, 3.5)
    [found] = explainer.explain(predictor.table([typical]))
    assert set(found["attributions"].values()) == {0.0}
    assert found["prediction"] == found["baseline"]


def test_another_baseline_may_be_asked_for(predictor: Predictor) -> None:
    explainer = make(predictor)
    row = {"size": 4.0, "colour": "green"}
    [plain] = explainer.explain(predictor.table([row]))
    [found] = explainer.explain(predictor.table([row]), baseline={"size": 4.0, "colour": None})
    assert plain["attributions"]["size"] != 0
    assert found["attributions"]["size"] == 0
    assert found["attributions"]["colour"] != plain["attributions"]["colour"]
    expected = explainer.baseline({"size": 4.0, "colour": None})
    assert found["baseline"] == pytest.approx(
        answered(predictor, [expected], found.get("label"))[0], abs=1e-5
    )


def test_a_class_may_be_asked_for(predictor: Predictor) -> None:
    explainer = make(predictor)
    table = predictor.table([{"size": 4.0, "colour": "green"}])
    classes = predictor.signature.target.classes
    if not classes:
        with pytest.raises(RequestError, match="no classes"):
            explainer.explain(table, label="a")
        return
    each = [explainer.explain(table, label=label)[0] for label in classes]
    assert [found["label"] for found in each] == list(classes)
    assert sum(found["prediction"] for found in each) == pytest.approx(1, abs=1e-6)
    # The classes share one whole, so what one gains the others lose.
    for name in each[0]["attributions"]:
        total = sum(found["attributions"][name] for found in each)
        assert total == pytest.approx(0, abs=3e-3)
    [predicted] = explainer.explain(table)
    assert predicted == max(each, key=lambda found: found["prediction"])
    with pytest.raises(RequestError, match="class of the target"):
        explainer.explain(table, label="nothing")


class Shop(nn.Module):
    """As a user writes it: an embedding a column, and a linear model on top."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, 3) for n in shape.cardinalities)
        self.layer = nn.Linear(shape.numeric, outputs)
        self.price = nn.Linear(3, outputs, bias=False)

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layer(numeric)
        for index, table in enumerate(self.tables):
            result = result + self.price(table(categorical[:, index]))
        return result


class Counting(nn.Module):
    """Reads a code as a number."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(shape.numeric + len(shape.cardinalities), outputs)

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layer(torch.cat([numeric, categorical.float()], 1))
        return result


def own_model(table: pa.Table, folder: Path, module: type[nn.Module]) -> Predictor:
    inputs = table.select([*table.column_names[:5], "price"])
    model = {"_target_": f"{module.__module__}.{module.__name__}"}
    untrained_bundle(folder / "b", inputs, target="price", task="regression", model=model)
    return Predictor.load(folder / "b", trust=Trust(modules=(module.__module__,)))


def test_those_of_a_users_linear_model_are_its_terms(table: pa.Table, tmp_path: Path) -> None:
    predictor = own_model(table, tmp_path, Shop)
    explainer = make(predictor)
    raw = inputs_of(predictor, table).slice(0, 6)
    features = predictor.features(raw)
    start = predictor.features(predictor.table([explainer.baseline()]))
    [module] = predictor.members.modules()
    scale = predictor.signature.target.scale
    shares = torch.from_numpy(features.numeric - start.numeric) * module.layer.weight[0] * scale
    codes = torch.from_numpy(features.categorical), torch.from_numpy(start.categorical)
    vectors = [module.price(module.tables[0](each[:, 0])) for each in codes]
    colours = (vectors[0] - vectors[1]) * scale
    columns = dict.fromkeys(predictor.columns, torch.zeros(6))
    for index, name in enumerate(predictor.columns[:-1]):
        columns[name] = columns[name] + shares[:, index]
    columns["colour"] = colours[:, 0]
    for row, found in enumerate(explainer.explain(raw)):
        expected = {name: values[row].item() for name, values in columns.items()}
        assert found["attributions"] == pytest.approx(expected, rel=1e-4, abs=1e-5)
        assert found["steps"] == 32


def test_what_cannot_be_explained_says_so(table: pa.Table, tmp_path: Path) -> None:
    predictor = own_model(table, tmp_path, Counting)
    raw = inputs_of(predictor, table)
    for _ in range(2):
        with pytest.raises(ExplainError, match="embedding layers"):
            make(predictor).explain(raw)
    assert len(predictor.predict(raw)) == len(raw)


def test_explaining_disturbs_no_prediction(ensemble: Predictor, predictor: Predictor) -> None:
    row = {"size": 4.0, "colour": "green"}
    for each in (ensemble, predictor):
        table = each.table([row] * 20)
        alone = each.predict(table)
        explainer = make(each)
        own = explainer.explain(table)
        wrong: list[object] = []
        done = threading.Event()

        def watch(each: Predictor, table: pa.Table, alone: object, done: threading.Event) -> None:
            while not done.is_set():
                if (now := each.predict(table)) != alone:
                    wrong.append(now)  # noqa: B023 - joined below

        watcher = threading.Thread(target=watch, args=(each, table, alone, done))
        watcher.start()
        results: list[list[Explanation]] = []
        workers = [
            threading.Thread(target=lambda: results.append(explainer.explain(table)))  # noqa: B023
            for _ in range(2)
        ]
        for thread in workers:
            thread.start()
        for thread in workers:
            thread.join()
        done.set()
        watcher.join()
        assert wrong == []
        assert results == [own, own]


def test_the_work_ends_when_it_is_told_to(predictor: Predictor) -> None:
    calls = itertools.count()

    def proceed() -> None:
        if next(calls) == 1:
            raise InterruptedError

    explainer = make(predictor, tolerance=1e-9, max_steps=100_000)
    with pytest.raises(InterruptedError):
        explainer.explain(predictor.table([{"size": 4.0}]), proceed=proceed)
    assert next(calls) == 2
    # The lock is free again.
    [found] = explainer.explain(predictor.table([explainer.baseline()]))
    assert found["delta"] == 0


def test_the_tolerance_is_in_units_of_the_target(predictor: Predictor) -> None:
    target = predictor.signature.target
    scale = target.scale if target.task == "regression" else 1.0
    table = predictor.table([{"size": 1.5}])
    [found] = make(predictor).explain(table)
    assert found["tolerance"] == pytest.approx(1e-3 * scale)
    [rough] = make(predictor, tolerance=1e-12, max_steps=64).explain(
        predictor.table([{"size": 40.0, "count of parts": -30.0}])
    )
    assert rough["steps"] <= 64
    assert not rough["converged"]
    assert math.isfinite(rough["delta"])
