"""Rows of files are predicted and explained as the endpoint would."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from rayml.errors import DataError
from rayml.stages.predict import explain_file, predict_file
from rayml.testing.bundles import untrained_bundle

ROWS = pa.table(
    {
        "price": [1.5, 2.5, None, 9.0] * 10,
        "channel": ["web", "shop", "web", None] * 10,
        "gift": [True, False, None, True] * 10,
        "returned": ["late", "never", "late", "never"] * 10,
    }
)
FEATURES = ROWS.drop_columns(["returned"])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    return untrained_bundle(folder, ROWS, target="returned", task="binary")


def test_every_format_gives_the_same_answers(bundle: Path, tmp_path: Path) -> None:
    pq.write_table(FEATURES, tmp_path / "rows.parquet")
    pyarrow.csv.write_csv(FEATURES, tmp_path / "rows.csv")
    (tmp_path / "rows.json").write_text(json.dumps(FEATURES.to_pylist()))
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, FEATURES.to_pylist())))
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress((tmp_path / "rows.csv").read_bytes()))
    (tmp_path / "rows.json.gz").write_bytes(gzip.compress((tmp_path / "rows.json").read_bytes()))
    pyarrow.feather.write_feather(FEATURES, tmp_path / "rows.feather")
    with pa.ipc.new_stream(tmp_path / "rows.arrow", FEATURES.schema) as stream:
        stream.write_table(FEATURES)
    suffixes = ["parquet", "csv", "json", "jsonl", "csv.gz", "json.gz", "feather", "arrow"]
    notes: list[str] = []
    first, *others = (
        list(predict_file(bundle, tmp_path / f"rows.{each}", note=notes.append))
        for each in suffixes
    )
    assert len(first) == len(ROWS)
    assert others == [first] * 7
    assert notes == []


def test_rows_of_a_file_are_explained(bundle: Path, tmp_path: Path) -> None:
    pq.write_table(pa.concat_tables([ROWS] * 3), tmp_path / "rows.parquet")
    predicted = list(predict_file(bundle, tmp_path / "rows.parquet"))
    notes: list[str] = []
    found = list(
        explain_file(
            bundle, tmp_path / "rows.parquet", tolerance=1e-3, max_steps=2000, note=notes.append
        )
    )
    assert notes == ["rows.parquet: ignored columns: 'returned' (the target)"]
    assert len(found) == len(predicted) == 120
    for answer, why in zip(predicted, found, strict=True):
        assert why["label"] == answer["label"]
        assert why["prediction"] == pytest.approx(answer["probability"], abs=1e-5)
        assert set(why["attributions"]) == {"price", "channel", "gift"}
        total = sum(why["attributions"].values())
        assert why["prediction"] - why["baseline"] == pytest.approx(total, abs=1e-3)


def test_rows_unlike_training_are_told_or_refused(bundle: Path, tmp_path: Path) -> None:
    rows = [{"price": 2.0, "channel": "web", "gift": None}] * 150
    odd = {"price": -100.0, "channel": "post", "gift": True}
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, [*rows, odd])))
    *usual, last = predict_file(bundle, path)
    assert all("warnings" not in answer for answer in usual)
    assert last["warnings"] == {"price": "range", "channel": "unknown"}
    quiet = list(predict_file(bundle, path, unknown="ignore"))
    assert quiet[-1] == {key: value for key, value in last.items() if key != "warnings"}
    refused = r"rows\.jsonl, row 151, column 'price': the value lies far outside"
    with pytest.raises(DataError, match=refused):
        list(predict_file(bundle, path, unknown="refuse"))
    with pytest.raises(DataError, match=refused):
        list(explain_file(bundle, path, tolerance=0.1, max_steps=64, unknown="refuse"))
    explained = list(explain_file(bundle, path, tolerance=0.1, max_steps=64))
    assert explained[-1]["warnings"] == last["warnings"]
