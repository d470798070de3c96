"""Regions are calibrated on validation rows and measured on test rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
import torch

from rayml.data.fit.group_column import GroupColumn
from rayml.data.fit.observe import observe
from rayml.data.fit.preprocess import Preprocessor
from rayml.data.rows.infer_schema import infer_schema
from rayml.errors import DataError
from rayml.models.estimators.members import Committee
from rayml.registry.bundle.intervals import Intervals
from rayml.settings.data import PreprocessSettings, SchemaSettings
from rayml.settings.search import IntervalSettings
from rayml.stages.winners.intervals import LEVELS, fit_intervals, measured, some_rows
from rayml.tasks.table import build_task
from rayml.tasks.task import Task
from rayml.types import Examples, Features, TaskName

ALL = IntervalSettings()


def table(rows: int, seed: int) -> pa.Table:
    """Rows whose noise depends on a category, on a truth value, and on x."""
    rng = np.random.default_rng(seed)
    x, where = rng.normal(size=rows), rng.choice(["a", "b", "rare"], rows, p=[0.6, 0.38, 0.02])
    old = rng.random(rows) < 0.5
    noise = rng.normal(size=rows) * np.where(where == "b", 4.0, 1.0) * np.where(old, 2.0, 1.0)
    value = 10 * x + noise
    grade = np.where(value < -5, "low", np.where(value < 5, "mid", "top"))
    return pa.table({"x": x, "where": where, "old": old, "value": value, "grade": grade})


@dataclass
class Ruler:
    """A model that knows 10 x, and is off by its own share."""

    task: TaskName
    off: float = 0.0

    def outputs(self, features: Features) -> torch.Tensor:
        value = 10 * torch.from_numpy(features.numeric[:, :1].copy()).double()
        value = value * (1 + self.off)
        if self.task == "regression":
            return value.float() / 10.3  # about the deviation of the target
        return -torch.cat([(value + 10).abs(), value.abs(), (value - 10).abs()], 1).float() / 5

    def single(self, features: Features) -> torch.Tensor:
        return self.outputs(features)


@dataclass
class Case:
    preprocessor: Preprocessor
    validation: Examples
    test: Examples


def case(task: TaskName, rows: int = 2000) -> Case:
    train = table(1000, 0)
    target = "value" if task == "regression" else "grade"
    drop = "grade" if task == "regression" else "value"
    schema = infer_schema(train.drop([drop]), target=target, settings=SchemaSettings())
    fitted = Preprocessor.fit(schema, observe(train, schema, task), PreprocessSettings(), task)

    def examples(raw: pa.Table) -> Examples:
        return Examples(fitted.transform_batch(raw), fitted.encode_target(raw[target]))

    return Case(fitted, examples(table(rows, 1)), examples(table(4000, 2)))


def fit(
    models: Committee,
    task: Task,
    preprocessor: Preprocessor,
    validation: Examples,
    settings: IntervalSettings,
) -> Intervals | None:
    """Calibrate on as many rows as the settings say."""
    rows = some_rows(validation, settings.rows)
    outputs = models.outputs(rows.features)
    return fit_intervals(outputs, task, preprocessor, rows, settings)


@pytest.mark.parametrize("task", ["regression", "multiclass"])
@pytest.mark.parametrize("members", [1, 3])
def test_they_hold_the_truth_of_test_rows_as_often_as_asked(task: TaskName, members: int) -> None:
    data = case(task)
    models = Committee([Ruler(task, 0.05 * at) for at in range(members)])
    of = build_task(data.preprocessor.target)
    found = fit(models, of, data.preprocessor, data.validation, ALL)
    assert found is not None
    assert found.rows == 2000
    shown = measured(found, models, of, data.preprocessor, data.test)
    assert tuple(each.level for each in shown.measured) == LEVELS
    for each in shown.measured:
        # A set holds the likeliest label at least, which is right more often than .8 here.
        most = max(each.level, 0.88) if of.has_classes else each.level
        assert each.level - 0.03 < each.coverage < most + 0.03
        assert each.rows == 4000
    sizes = [each.size for each in shown.measured]
    assert sizes == sorted(sizes)


def test_a_group_has_intervals_of_its_own_width_and_a_small_one_those_of_all() -> None:
    data = case("regression")
    models, of = Committee([Ruler("regression")]), build_task(data.preprocessor.target)
    settings = IntervalSettings(group="where")
    found = fit(models, of, data.preprocessor, data.validation, settings)
    assert found is not None
    assert {each.value for each in found.groups} == {"a", "b"}
    assert found.pooled == ("rare",)
    own = {each.value: np.quantile(each.scores, 0.9) for each in found.groups}
    assert own["b"] > 2 * own["a"]
    raw = table(6000, 3)
    features = data.preprocessor.transform_batch(raw)
    places = found.places(GroupColumn(data.preprocessor, "where").values)[
        GroupColumn(data.preprocessor, "where").places(features)
    ]
    limits, _ = found.limits(places, np.full(6000, 0.9))
    errors = np.abs(
        data.preprocessor.encode_target(raw["value"]).astype(float) * of.info.scale
        + of.info.mean
        - of.predict(models.outputs(features))[0].numpy()
    )
    where = np.array(raw["where"])
    for group in ("a", "b"):
        assert abs((errors <= limits)[where == group].mean() - 0.9) < 0.03


def test_groups_of_truth_values_and_of_missing_ones() -> None:
    data = case("regression")
    column = GroupColumn(data.preprocessor, "old")
    rows = pa.table(
        {
            "x": [0.0] * 3,
            "where": ["a"] * 3,
            "old": pa.array([True, False, None], pa.bool_()),
        }
    )
    assert column.values == (False, True)
    assert column.places(data.preprocessor.transform_batch(rows)).tolist() == [1, 0, -1]


@pytest.mark.parametrize("name", ["x", "nosuch"])
def test_rows_are_not_grouped_by_numbers_or_by_what_is_no_feature(name: str) -> None:
    with pytest.raises(DataError, match=r"cannot be grouped by .*: (old, where|where, old)"):
        GroupColumn(case("regression").preprocessor, name)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (SchemaSettings(private=("where",)), "is private"),
        (SchemaSettings(max_published=2), "has 3 values, over data.schema.max_published=2"),
    ],
)
def test_values_that_are_not_published_name_no_groups(settings: SchemaSettings, why: str) -> None:
    raw = table(1000, 0).drop(["grade"])
    schema = infer_schema(raw, target="value", settings=settings)
    fitted = Preprocessor.fit(
        schema, observe(raw, schema, "regression"), PreprocessSettings(), "regression"
    )
    with pytest.raises(DataError, match=why):
        GroupColumn(fitted, "where")


@dataclass
class Unsure(Ruler):
    """Members of opposite signs disagree, and by more where `old` is true."""

    sign: float = 1.0

    def outputs(self, features: Features) -> torch.Tensor:
        return super().outputs(features) + self.sign * doubt(features)


def doubt(features: Features) -> torch.Tensor:
    return torch.from_numpy(np.where(features.numeric[:, 1:2] > 0, 0.5, 0.1)).float()


@pytest.mark.parametrize("telling", [True, False])
def test_scores_follow_the_spread_only_where_that_makes_intervals_narrower(telling: bool) -> None:
    data = case("regression")
    of, features = build_task(data.preprocessor.target), data.validation.features
    noise = torch.randn(len(features), 1, generator=torch.Generator().manual_seed(0))
    noise = noise * doubt(features) if telling else noise
    centers = Ruler("regression").outputs(features)
    rows = Examples(features, (centers + noise).squeeze(1).numpy())
    models = Committee([Unsure("regression", 0, 1.0), Unsure("regression", 0, -1.0)])
    found = fit(models, of, data.preprocessor, rows, ALL)
    assert found is not None
    assert (found.offset is not None) is telling


def test_scores_are_bounded_and_few_rows_measure_few_levels() -> None:
    data = case("regression", rows=12)
    models, of = Committee([Ruler("regression")]), build_task(data.preprocessor.target)
    found = fit(models, of, data.preprocessor, data.validation, ALL)
    assert found is not None
    shown = measured(found, models, of, data.preprocessor, data.test)
    assert [each.level for each in shown.measured] == [0.8, 0.9]
    few = fit(models, of, data.preprocessor, data.validation, IntervalSettings(rows=5))
    assert few is not None
    assert few.rows == 5


def test_predictions_that_are_not_finite_calibrate_nothing() -> None:
    data = case("regression")
    models, of = (
        Committee([Ruler("regression", float("inf"))]),
        build_task(data.preprocessor.target),
    )
    assert fit(models, of, data.preprocessor, data.validation, ALL) is None
