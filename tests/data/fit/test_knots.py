"""Quantiles of features, and what makes bins of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rayml.data.fit import knots
from rayml.data.fit.observe import observe
from rayml.data.fit.preprocess import Preprocessor
from rayml.data.rows.infer_schema import infer_schema
from rayml.errors import DataError
from rayml.models.layers.numeric import edges
from rayml.settings.data import PreprocessSettings, SchemaSettings

ROWS = 2000


def table() -> pa.Table:
    draw = np.random.default_rng(0)
    mostly = np.where(draw.random(ROWS) < 0.9, 0.0, draw.lognormal(5, 2, ROWS))
    return pa.table(
        {
            "skewed": draw.lognormal(0, 2, ROWS),
            "mostly": pa.array(mostly, mask=draw.random(ROWS) < 0.1),
            "few": draw.integers(0, 5, ROWS).astype(np.float64),
            "ok": draw.random(ROWS) < 0.25,
            "when": pa.array(draw.integers(0, 2**50, ROWS), pa.timestamp("us", tz="UTC")),
            "y": draw.choice(["no", "yes"], ROWS),
        }
    )


def fit(rows: pa.Table, numeric: Any = "standard") -> Preprocessor:
    schema = infer_schema(rows, target="y", settings=SchemaSettings(kinds={"few": "numeric"}))
    settings = PreprocessSettings(numeric=numeric)
    return Preprocessor.fit(schema, observe(rows, schema, "binary"), settings, "binary")


@pytest.mark.parametrize("numeric", ["standard", "quantile", "none"])
def test_each_bin_holds_about_the_same_number_of_training_rows(numeric: str) -> None:
    rows = table()
    fitted = fit(rows, numeric)
    values = fitted.transform_batch(rows).numeric
    names = [feature.name for feature in fitted.numeric_features]
    assert len(fitted.shape.knots) == len(names)
    for name in ("skewed", "when[day]"):
        place = names.index(name)
        own = edges(fitted.shape.knots[place], 16)
        assert len(own) == 17
        counts, _ = np.histogram(values[:, place], own)
        assert counts.sum() >= 0.99 * ROWS  # the map by quantiles cuts the ends
        assert counts.min() > 0.8 * ROWS / 16
        assert counts.max() < 1.2 * ROWS / 16


def test_few_values_make_few_bins() -> None:
    fitted = fit(table())
    names = [feature.name for feature in fitted.numeric_features]
    found = {name: len(edges(own, 16)) for name, own in zip(names, fitted.shape.knots, strict=True)}
    assert found["few"] == 5
    assert found["ok"] == 2
    assert found["mostly[missing]"] == 2
    assert 2 <= found["mostly"] < 5
    assert found["when[hour_sin]"] == 17


def test_knots_survive_the_files_to_the_bit(tmp_path: Path) -> None:
    fitted = fit(table())
    fitted.save(tmp_path)
    assert Preprocessor.load(tmp_path).shape == fitted.shape
    assert fitted.standing_in({}).shape == fitted.shape


def test_a_preprocessor_of_before_has_none(tmp_path: Path) -> None:
    fit(table()).save(tmp_path)
    path = tmp_path / "preprocessor.json"
    state = json.loads(path.read_text())
    del state["knots"]
    path.write_text(json.dumps(state))
    assert Preprocessor.load(tmp_path).shape.knots == ()


def test_damaged_knots_are_refused(tmp_path: Path) -> None:
    fit(table()).save(tmp_path)
    path = tmp_path / "preprocessor.json"
    state = json.loads(path.read_text())
    state["knots"][0][3] = "1"
    path.write_text(json.dumps(state))
    with pytest.raises(DataError, match="knots"):
        Preprocessor.load(tmp_path)


def test_a_column_without_values_has_no_bins() -> None:
    rows = table().set_column(0, "skewed", pa.nulls(ROWS, pa.float64()))
    schema = infer_schema(table(), target="y", settings=SchemaSettings())
    statistics = observe(rows, schema, "binary")
    fitted = Preprocessor.fit(schema, statistics, PreprocessSettings(), "binary")
    assert fitted.shape.knots[0] == ()


def test_so_many_features_that_they_would_fill_the_file_have_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fitted = fit(table())
    monkeypatch.setattr(knots, "MOST_FEATURES", fitted.shape.numeric - 1)
    assert fit(table()).shape.knots == ()
    monkeypatch.setattr(knots, "MOST_FEATURES", fitted.shape.numeric)
    assert fit(table()).shape == fitted.shape
