from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayml.data.columns.kinds import ARROW_TYPES
from rayml.data.columns.schema import Column, FeatureSchema
from rayml.data.fit.column_transforms import STANDARD_LIMIT
from rayml.data.fit.observe import observe
from rayml.data.fit.preprocess import Preprocessor
from rayml.errors import DataError, SchemaError
from rayml.settings.data import PreprocessSettings
from rayml.types import Features, FeatureShape

SCHEMA = FeatureSchema(
    columns=(
        Column("age", "numeric"),
        Column("pay", "numeric"),
        Column("flat", "numeric"),
        Column("when", "timestamp"),
        Column("job", "categorical"),
        Column("ok", "boolean"),
        Column("city", "categorical"),
    ),
    target="y",
    target_kind="categorical",
)
TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(
    lambda time: time.replace(tzinfo=UTC)
)
ROW = st.fixed_dictionaries(
    {
        "age": st.none() | st.floats(allow_nan=False),
        "pay": st.none() | st.floats(-1e3, 1e3),
        "flat": st.none() | st.floats(-10, 10),
        "when": st.none() | TIMES,
        "job": st.none() | st.sampled_from(["chef", "clerk", "unheard of"]),
        "ok": st.none() | st.booleans(),
        "city": st.none() | st.text(max_size=3),
    }
)
TYPES = pa.schema([(c.name, ARROW_TYPES[c.kind]) for c in SCHEMA.columns])


def training(rows: int = 200) -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table(
        {
            "age": rng.normal(40, 10, rows),
            "pay": pa.array(rng.lognormal(size=rows), mask=rng.random(rows) < 0.1),
            "flat": np.full(rows, 0.1),
            "when": pa.array(rng.integers(0, 2**50, rows), pa.timestamp("us", tz="UTC")),
            "job": pa.array(rng.choice(["chef", "clerk", "cook"], rows, p=[0.2, 0.5, 0.3])),
            "ok": pa.array(rng.random(rows) < 0.25, mask=rng.random(rows) < 0.2),
            "city": pa.array(["x", None] * (rows // 2)),
            "y": rng.choice(["no", "yes"], rows),
        }
    )


def fit(rows: pa.Table | None = None, **given: Any) -> Preprocessor:
    rows = training() if rows is None else rows
    statistics = observe(rows, SCHEMA, "binary")
    return Preprocessor.fit(SCHEMA, statistics, PreprocessSettings(**given), "binary")


FITTED = {method: fit(numeric=method) for method in ("standard", "quantile", "none")}


def bits(features: Features) -> tuple[bytes, bytes]:
    return features.numeric.tobytes(), features.categorical.tobytes()


def transform(preprocessor: Preprocessor, **values: Any) -> dict[str, float]:
    row = pa.Table.from_pylist([values], schema=TYPES)
    features = preprocessor.transform_batch(row)
    outputs = [*features.numeric[0].tolist(), *features.categorical[0].tolist()]
    return dict(zip((f.name for f in preprocessor.features), outputs, strict=True))


@pytest.mark.parametrize("method", ["standard", "quantile", "none"])
@given(rows=st.lists(ROW, min_size=1, max_size=5), absent=st.sets(st.sampled_from(TYPES.names)))
def test_rows_become_the_features_of_their_table_to_the_bit(
    method: str, rows: list[dict[str, Any]], absent: set[str]
) -> None:
    preprocessor = FITTED[method]
    table = pa.Table.from_pylist([dict.fromkeys(absent) | row for row in rows], schema=TYPES)
    given_rows = [
        {name: value for name, value in row.items() if name not in absent or value is not None}
        for row in rows
    ]
    found, wanted = preprocessor.transform_rows(given_rows), preprocessor.transform_batch(table)
    assert bits(found) == bits(wanted)
    for one, other in (
        (found.numeric, wanted.numeric),
        (found.categorical, wanted.categorical),
    ):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)


def test_rows_with_missing_numbers_and_no_times_become_features() -> None:
    schema = FeatureSchema(
        (Column("pay", "numeric"), Column("job", "categorical")), "y", "categorical"
    )
    table = training().select(["pay", "job", "y"])
    preprocessor = Preprocessor.fit(
        schema, observe(table, schema, "binary"), PreprocessSettings(), "binary"
    )
    rows = [{"pay": 1.5, "job": "chef"}, {"pay": None}, {}]
    found = preprocessor.transform_rows(rows)
    kinds = pa.schema([(c.name, ARROW_TYPES[c.kind]) for c in schema.columns])
    wanted = preprocessor.transform_batch(pa.Table.from_pylist(rows, schema=kinds))
    assert found.numeric.shape == (3, 2)
    assert bits(found) == bits(wanted)


@pytest.mark.parametrize("method", ["standard", "quantile", "none"])
@settings(deadline=None, max_examples=40)
@given(rows=st.lists(ROW, min_size=1, max_size=12), at=st.integers(0, 12))
def test_bits_of_a_row_depend_on_nothing_else(
    method: str, rows: list[dict[str, Any]], at: int
) -> None:
    preprocessor = fit(numeric=method)
    table = pa.Table.from_pylist(rows, schema=TYPES)
    whole = preprocessor.transform_batch(table)
    assert np.isfinite(whole.numeric).all()
    chunked = pa.concat_tables([table.slice(0, at), table.slice(at)])
    assert bits(preprocessor.transform_batch(chunked)) == bits(whole)
    for i in range(len(rows)):
        alone = preprocessor.transform_batch(table.slice(i, 1))
        assert alone.numeric.tobytes() == whole.numeric[i].tobytes()
        assert alone.categorical.tobytes() == whole.categorical[i].tobytes()


@pytest.mark.parametrize("method", ["standard", "quantile", "none"])
def test_bits_do_not_depend_on_the_size_of_the_batch(method: str) -> None:
    preprocessor, table = fit(numeric=method), training(5000)
    whole = preprocessor.transform_batch(table)
    for size in (1, 7, 1024):
        part = preprocessor.transform_batch(table.slice(3, size))
        assert part.numeric.tobytes() == whole.numeric[3 : 3 + size].tobytes()


@pytest.mark.parametrize("method", ["standard", "quantile", "none"])
def test_a_saved_preprocessor_gives_the_same_bits(method: str, tmp_path: Path) -> None:
    preprocessor = fit(numeric=method)
    preprocessor.save(tmp_path / "state")
    loaded = Preprocessor.load(tmp_path / "state")
    assert bits(loaded.transform_batch(training())) == bits(
        preprocessor.transform_batch(training())
    )
    assert (loaded.shape, loaded.target) == (preprocessor.shape, preprocessor.target)
    assert (loaded.schema, loaded.features) == (preprocessor.schema, preprocessor.features)
    assert loaded.profile() == preprocessor.profile()


def test_outputs_have_names_in_order_and_know_their_column() -> None:
    preprocessor = fit()
    assert [feature.name for feature in preprocessor.numeric_features] == [
        *("age", "pay", "flat", "ok"),
        *("when[hour_sin]", "when[hour_cos]", "when[weekday_sin]", "when[weekday_cos]"),
        *("when[month_sin]", "when[month_cos]", "when[day]"),
        *("pay[missing]", "ok[missing]"),
    ]
    assert {feature.column for feature in preprocessor.features} == set(TYPES.names)
    missing = (-1, 11, -1, 12, *[-1] * 9)
    assert replace(preprocessor.shape, knots=()) == FeatureShape(13, (4, 3), missing=missing)


def test_the_shape_says_which_feature_marks_a_missing_time() -> None:
    rows = training()
    gone = pa.array([i % 7 == 0 for i in range(len(rows))])
    times = pc.if_else(gone, pa.scalar(None, rows["when"].type), rows["when"])
    place = rows.column_names.index("when")
    preprocessor = fit(rows.set_column(place, "when", times))
    assert preprocessor.shape.missing == (-1, 11, -1, 13, *[12] * 7, -1, -1, -1)
    assert fit(rows, missing_indicators=False).shape.missing == ()


def test_features_are_contiguous_float32_and_int64() -> None:
    features = fit().transform_batch(training())
    assert (features.numeric.dtype, features.categorical.dtype) == (np.float32, np.int64)
    assert features.numeric.flags.c_contiguous
    assert features.categorical.flags.c_contiguous


def test_standardised_numbers_have_mean_0_and_deviation_1() -> None:
    age = fit().transform_batch(training()).numeric[:, 0]
    assert age.mean() == pytest.approx(0, abs=1e-6)
    assert age.std() == pytest.approx(1, abs=1e-6)


def test_quantiles_make_a_skewed_column_normal() -> None:
    rows = training(20_000)
    preprocessor = fit(rows, numeric="quantile")
    pay = preprocessor.transform_batch(rows).numeric[:, 1]
    present = pay[rows["pay"].is_valid().to_numpy()]
    assert [present.mean(), present.std()] == pytest.approx([0, 1], abs=0.02)
    assert transform(preprocessor, pay=1e9)["pay"] == transform(preprocessor, pay=1e6)["pay"]


def test_missing_values_are_defined() -> None:
    row = transform(fit())
    assert row["age"] == row["pay"] == row["flat"] == row["when[day]"] == row["when[hour_cos]"] == 0
    assert row["pay[missing]"] == row["ok[missing]"] == 1
    true = training()["ok"].drop_null().to_numpy(zero_copy_only=False).mean()
    assert row["ok"] == pytest.approx(true)
    plain = transform(fit(numeric="none"))
    assert plain["age"] == pytest.approx(training()["age"].to_numpy().mean())
    assert "pay[missing]" not in transform(fit(missing_indicators=False))


def test_values_out_of_range_are_defined() -> None:
    preprocessor = fit()
    assert transform(preprocessor, age=1e308)["age"] == STANDARD_LIMIT
    assert transform(preprocessor, age=-math.inf)["age"] == -STANDARD_LIMIT
    assert transform(preprocessor, flat=123.0)["flat"] == 0
    assert math.isfinite(transform(fit(numeric="none"), age=1e308)["age"])


def test_categories_have_codes_by_frequency_and_unknown_ones_0() -> None:
    preprocessor = fit()
    codes = [
        transform(preprocessor, job=job)["job"] for job in ("clerk", "cook", "chef", "?", None)
    ]
    assert codes == [1, 2, 3, 0, 0]
    assert [transform(preprocessor, city=city)["city"] for city in ("x", "?", None)] == [2, 0, 1]


def test_rare_categories_count_as_unknown() -> None:
    assert fit(max_categories=2).shape.cardinalities == (3, 3)
    assert fit(min_count=80).shape.cardinalities[0] == 2


def test_times_become_parts() -> None:
    row = transform(fit(), when=datetime(2024, 4, 3, 6, 30, tzinfo=UTC))  # a Wednesday
    assert row["when[hour_sin]"] == 1
    assert row["when[hour_cos]"] == pytest.approx(0, abs=1e-12)
    assert row["when[weekday_sin]"] == pytest.approx(math.sin(2 * math.pi * 2 / 7))
    assert row["when[month_sin]"] == 1


def test_times_before_1970_and_over_years_are_whole_parts() -> None:
    early = transform(fit(), when=datetime(1969, 12, 31, 23, tzinfo=UTC))
    late = transform(fit(), when=datetime(2025, 12, 31, 23, tzinfo=UTC))
    for part in ("hour_sin", "hour_cos", "month_sin", "weekday_cos"):
        assert early[f"when[{part}]"] == late[f"when[{part}]"]


def test_tables_of_another_form_are_taken_or_refused() -> None:
    preprocessor, rows = fit(), training(10)
    whole = rows.set_column(0, "age", pa.array(range(10)))
    floats = rows.set_column(0, "age", pa.array(range(10), pa.float64()))
    assert bits(preprocessor.transform_batch(whole)) == bits(preprocessor.transform_batch(floats))
    reordered = rows.select(rows.column_names[::-1])
    assert bits(preprocessor.transform_batch(reordered)) == bits(preprocessor.transform_batch(rows))
    with pytest.raises(SchemaError, match="lacks the column 'job'"):
        preprocessor.transform_batch(rows.drop_columns(["job"]))
    with pytest.raises(SchemaError, match=r"'age' of the table .* is of type string"):
        preprocessor.transform_batch(rows.set_column(0, "age", pa.array(["1"] * 10)))


def test_no_rows_make_empty_features() -> None:
    features = fit().transform_batch(training(10).slice(0, 0))
    assert features.numeric.shape == (0, 13)
    assert features.categorical.shape == (0, 2)


def test_numbers_too_large_to_standardise_are_refused() -> None:
    rows = training().set_column(0, "age", pa.array([1e300, -1e300] * 100))
    with pytest.raises(DataError, match="column 'age' has numbers too large to square"):
        fit(rows)
    assert np.isfinite(fit(rows, numeric="quantile").transform_batch(rows).numeric).all()


def test_a_column_named_as_a_part_of_another_is_refused() -> None:
    schema = FeatureSchema(
        (Column("pay", "numeric"), Column("pay[missing]", "numeric")), "y", "categorical"
    )
    rows = training().select(["pay", "y"]).append_column("pay[missing]", pa.array([1.0] * 200))
    with pytest.raises(SchemaError, match=r"pay\[missing\]"):
        Preprocessor.fit(schema, observe(rows, schema, "binary"), PreprocessSettings(), "binary")


def test_torn_and_newer_states_are_refused(tmp_path: Path) -> None:
    fit().save(tmp_path)
    state = tmp_path / "preprocessor.json"
    content = json.loads(state.read_text())
    state.write_text(json.dumps(content | {"format": 99}))
    with pytest.raises(DataError, match="has the format 99, and this rayml reads format 1"):
        Preprocessor.load(tmp_path)
    state.write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        Preprocessor.load(tmp_path)


def test_the_profile_describes_the_raw_columns() -> None:
    rows = training()
    profile = fit(max_categories=2).profile()
    assert json.loads(json.dumps(profile, allow_nan=False)) == profile
    assert list(profile) == [*TYPES.names, "y"]
    pay = profile["pay"]
    assert pay["missing"] == rows["pay"].null_count
    assert sum(pay["histogram"]["counts"]) == pay["count"] == 200 - pay["missing"]
    assert len(pay["histogram"]["edges"]) == len(pay["histogram"]["counts"]) + 1
    assert pay["quantiles"][10] == pytest.approx(np.nanmedian(rows["pay"].to_numpy()))
    job = profile["job"]
    assert list(job["categories"]) == ["clerk", "cook"]
    assert job["other"] == 200 - sum(job["categories"].values())
    assert profile["ok"]["example"] is False
    assert profile["flat"]["histogram"] == {"edges": [0.1], "counts": [200]}
    assert datetime.fromisoformat(profile["when"]["example"]).tzinfo == UTC


def test_the_profile_of_times_ends_with_the_calendar() -> None:
    schema = FeatureSchema((Column("when", "timestamp"),), "y", "categorical")
    last = pa.array([datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)] * 4)
    rows = pa.table({"when": last, "y": ["a", "b"] * 2})
    statistics = observe(rows, schema, "binary")
    profile = Preprocessor.fit(schema, statistics, PreprocessSettings(), "binary").profile()
    assert profile["when"]["example"] == "9999-12-31T23:59:59+00:00"


def test_tokens_of_a_missing_value_have_its_code() -> None:
    preprocessor = FITTED["standard"].reading(("?", "", "chef"))
    assert transform(preprocessor, city="?") == transform(preprocessor, city=None)
    assert transform(preprocessor, city="?")["city"] == 1
    assert transform(preprocessor, job="")["job"] == transform(preprocessor, job=None)["job"] == 0
    # A category of training stays one.
    assert transform(preprocessor, job="chef") == transform(FITTED["standard"], job="chef")
    rows = [{"job": "?", "city": ""}, {"job": "chef", "city": "x"}, {}]
    found = preprocessor.transform_rows(rows)
    wanted = preprocessor.transform_batch(
        pa.Table.from_pylist([dict.fromkeys(TYPES.names) | row for row in rows], schema=TYPES)
    )
    assert bits(found) == bits(wanted)


def test_an_unknown_category_is_taken_as_its_stand_in(tmp_path: Path) -> None:
    preprocessor = FITTED["standard"].standing_in({"job": "cook"})
    job = preprocessor.categorical[0]
    assert transform(preprocessor, job="unheard of") == transform(preprocessor, job="cook")
    assert transform(preprocessor, job=None) == transform(preprocessor, job="cook")
    assert transform(preprocessor, city="unheard of")["city"] == 0
    assert transform(preprocessor, job="chef")["job"] == job.code("chef") != job.code("cook")
    preprocessor.save(tmp_path)
    loaded = Preprocessor.load(tmp_path)
    assert loaded.stand_ins == {"job": "cook"}
    assert transform(loaded, job="unheard of") == transform(preprocessor, job="cook")
    known = preprocessor.known_codes(np.array([[0, 0], [2, 1]]))
    assert known.tolist() == [[job.code("cook"), 0], [2, 1]]


@given(rows=st.lists(ROW, min_size=1, max_size=5), token=st.sampled_from(["", "x", "0"]))
def test_stand_ins_and_tokens_are_the_same_in_rows_and_tables(
    rows: list[dict[str, Any]], token: str
) -> None:
    preprocessor = FITTED["quantile"].reading((token,)).standing_in({"job": "clerk", "city": "x"})
    found = preprocessor.transform_rows(rows)
    wanted = preprocessor.transform_batch(pa.Table.from_pylist(rows, schema=TYPES))
    assert bits(found) == bits(wanted)
    assert found.categorical.all()


def test_what_an_older_rayml_wrote_has_neither(tmp_path: Path) -> None:
    FITTED["standard"].save(tmp_path)
    path = tmp_path / "preprocessor.json"
    state = json.loads(path.read_text())
    del state["stand_ins"], state["schema"]["missing"]
    path.write_text(json.dumps(state))
    loaded = Preprocessor.load(tmp_path)
    assert transform(loaded, job="?")["job"] == 0
    assert not loaded.schema.missing
