"""Rows of files are predicted as the endpoint would, and bad ones are named."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from rayml.errors import ConfigError, DataError, RequestError
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
    first, *others = (
        list(predict_file(bundle, tmp_path / f"rows.{kind}")) for kind in ("parquet", "csv", "json")
    )
    assert len(first) == len(ROWS)
    assert others == [first, first]


def test_columns_may_be_more_or_fewer(bundle: Path, tmp_path: Path) -> None:
    pq.write_table(ROWS.drop_columns(["gift"]), tmp_path / "rows.parquet")
    assert len(list(predict_file(bundle, tmp_path / "rows.parquet"))) == len(ROWS)


def test_a_value_that_does_not_fit_is_named(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("price,channel\n1.5,web\ndear,web\n")
    with pytest.raises(DataError, match=r"row 1 .* price .*'dear'"):
        list(predict_file(bundle, tmp_path / "rows.csv"))
    (tmp_path / "rows.json").write_text('[{"price": 1}, {"price": "dear"}]')
    with pytest.raises(RequestError) as caught:
        list(predict_file(bundle, tmp_path / "rows.json"))
    assert (caught.value.row, caught.value.column) == (1, "price")


def test_a_line_that_cannot_be_read_is_named(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("price,channel\n1.5,web\n2.5,web,extra\n")
    with pytest.raises(DataError, match="line 3"):
        list(predict_file(bundle, tmp_path / "rows.csv"))


@pytest.mark.parametrize("name", ["absent.csv", "rows.xlsx"])
def test_other_files_are_refused(bundle: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "rows.xlsx").write_bytes(b"")
    with pytest.raises(ConfigError, match="file of rows"):
        list(predict_file(bundle, tmp_path / name))


def test_rows_of_a_file_are_explained(bundle: Path, tmp_path: Path) -> None:
    pq.write_table(pa.concat_tables([ROWS] * 3), tmp_path / "rows.parquet")
    predicted = list(predict_file(bundle, tmp_path / "rows.parquet"))
    found = list(explain_file(bundle, tmp_path / "rows.parquet", tolerance=1e-3, max_steps=2000))
    assert len(found) == len(predicted) == 120
    for answer, why in zip(predicted, found, strict=True):
        assert why["label"] == answer["label"]
        assert why["prediction"] == pytest.approx(answer["probability"], abs=1e-5)
        assert set(why["attributions"]) == {"price", "channel", "gift"}
        total = sum(why["attributions"].values())
        assert why["prediction"] - why["baseline"] == pytest.approx(total, abs=1e-3)
