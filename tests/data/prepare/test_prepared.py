from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayml.data.columns.schema import Column, FeatureSchema
from rayml.data.delimited.dialect import CsvSettings
from rayml.data.fit.observe import observe
from rayml.data.fit.preprocess import Preprocessor
from rayml.data.prepare.blocks import ORDER, Write, split_start
from rayml.data.prepare.prepared import MANIFEST, PreparedDataset, open_prepared
from rayml.errors import DataError
from rayml.settings.data import PreprocessSettings

SCHEMA = FeatureSchema(
    (Column("x", "numeric"), Column("c", "categorical")), "y", "categorical", groups=("c",)
)


DIALECT = CsvSettings(delimiter=";", columns=("x", "c", "y"), decimal=",")


def rows(count: int, side: int, start: int = 0) -> pa.Table:
    return pa.table(
        {
            "x": np.arange(start, start + count, dtype=np.float64),
            "c": [f"c{i % 3}" for i in range(start, start + count)],
            "y": ["no", "yes"] * (count // 2),
            ORDER: [split_start(side) + start + i for i in range(count)],
        }
    )


@pytest.fixture
def prepared(tmp_path: Path) -> PreparedDataset:
    train = rows(20, 0)
    statistics = observe(train, SCHEMA, "binary")
    fitted = Preprocessor.fit(SCHEMA, statistics, PreprocessSettings(), "binary")
    write = Write(fitted, tmp_path)
    write(train.slice(12))  # blocks may be written in any order
    write(pa.concat_tables([train.slice(0, 12)]))
    write(pa.concat_tables([rows(4, 1), rows(6, 2)]))
    fitted.save(tmp_path / "preprocessor")
    sizes = {"train": 20, "validation": 4, "test": 6}
    made = PreparedDataset(
        tmp_path, "hash", "print", fitted, sizes, 2, {"malformed": 2}, {"read": 0.5}, csv=DIALECT
    )
    made.save_manifest()
    return open_prepared(tmp_path)


def test_examples_are_those_of_the_preprocessor_in_order(prepared: PreparedDataset) -> None:
    for split, side, count in (("train", 0, 20), ("validation", 1, 4), ("test", 2, 6)):
        examples = prepared.examples(split)
        raw = rows(count, side)
        direct = prepared.preprocessor.transform_batch(raw)
        assert examples.features.numeric.tobytes() == direct.numeric.tobytes()
        assert examples.features.categorical.tobytes() == direct.categorical.tobytes()
        assert examples.target.tolist() == [0, 1] * (count // 2)
        assert examples.nbytes == prepared.nbytes(split)
        for array in (examples.features.numeric, examples.features.categorical, examples.target):
            assert array.flags.c_contiguous
            assert array.flags.writeable


def test_groups_lie_in_the_order_of_the_rows(prepared: PreparedDataset) -> None:
    assert prepared.groups("train").to_pydict() == {"c": [f"c{i % 3}" for i in range(20)]}
    assert len(prepared.files("train")) == 2


def test_it_opens_as_it_was_written(prepared: PreparedDataset) -> None:
    assert prepared.reused
    assert prepared.schema == SCHEMA
    assert prepared.source == "print"
    assert (prepared.quarantined, prepared.reasons) == (2, {"malformed": 2})
    assert prepared.quarantine == prepared.path / "quarantine.parquet"
    assert prepared.timings == {"read": 0.5}
    versions = json.loads((prepared.path / MANIFEST).read_text())["versions"]
    assert set(versions) == {"rayml", "ray", "pyarrow", "numpy"}


def test_it_tells_how_its_files_are_written(prepared: PreparedDataset) -> None:
    assert prepared.csv == DIALECT
    manifest = json.loads((prepared.path / MANIFEST).read_text())
    del manifest["csv"]  # as an older rayml wrote it
    (prepared.path / MANIFEST).write_text(json.dumps(manifest))
    assert open_prepared(prepared.path).csv is None


def test_missing_rows_are_noticed(prepared: PreparedDataset) -> None:
    prepared.files("train")[0].unlink()
    with pytest.raises(DataError, match="the train split have 8 rows, and the manifest has 20"):
        prepared.examples("train")


def test_what_is_no_prepared_dataset_is_refused(prepared: PreparedDataset) -> None:
    manifest = prepared.path / MANIFEST
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"format": 99}))
    with pytest.raises(DataError, match="has the format 99, and this rayml reads format 1"):
        open_prepared(prepared.path)
    with pytest.raises(DataError, match=r"nowhere cannot be read .* Remove .*nowhere, and prepare"):
        open_prepared(prepared.path / "nowhere")


def test_codes_are_counted_over_all_files(prepared: PreparedDataset) -> None:
    (counts,) = prepared.code_counts("train")
    codes = prepared.examples("train").features.categorical[:, 0]
    assert counts.tolist() == np.bincount(codes, minlength=4).tolist() == [0, 7, 7, 6]


def test_a_sample_is_of_rows_from_all_over_a_split(prepared: PreparedDataset) -> None:
    whole, some = prepared.examples("train"), prepared.sample("train", 6)
    assert len(some) == 6
    values = whole.features.numeric[:, 0].tolist()
    places = [values.index(each) for each in some.features.numeric[:, 0].tolist()]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, 19)
    assert some.target.tolist() == whole.target[places].tolist()
    assert len(prepared.sample("train", 1000)) == 20


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rows", {"_target_": "os.system"}),
        ("rows", {"train": {"_target_": "os.system"}}),
        ("rows", {"train": -1}),
        ("rows", [20]),
        ("quarantined", {"_target_": "os.system"}),
        ("hash", {"_target_": "os.system"}),
        ("timings", {"read": "long"}),
    ],
)
def test_a_manifest_of_other_values_is_refused(
    prepared: PreparedDataset, key: str, value: object
) -> None:
    path = prepared.path / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(DataError, match="manifest"):
        open_prepared(prepared.path)


@pytest.mark.parametrize("content", ["[]", "{", "[" * 100_000, '{"format": 1}', " " * (17 << 20)])
def test_a_manifest_that_is_none_is_refused(prepared: PreparedDataset, content: str) -> None:
    (prepared.path / MANIFEST).write_text(content)
    with pytest.raises(DataError, match="manifest"):
        open_prepared(prepared.path)


def test_files_of_other_columns_are_not_read(prepared: PreparedDataset) -> None:
    path = prepared.files("train")[0]
    table = pq.read_table(path)
    for other in (
        table.append_column("more", pa.nulls(len(table), pa.float64())),
        table.drop_columns("x"),
        table.set_column(0, "x", pa.array(["text"] * len(table))),
    ):
        pq.write_table(other, path)
        with pytest.raises(DataError, match="other columns"):
            prepared.examples("train")


def test_more_rows_than_there_is_memory_for_are_not_read(
    prepared: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rayml.data.prepare.prepared.os.sysconf", lambda name: 10)
    monkeypatch.setattr(
        "rayml.data.prepare.prepared.pq.read_table", lambda path: pytest.fail("it is read")
    )
    with pytest.raises(DataError, match=r"the train split .* takes .* and this machine has"):
        prepared.examples("train")


def test_what_is_read_file_by_file_needs_no_room_for_all(
    prepared: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A split that is streamed may be larger than the memory."""
    monkeypatch.setattr("rayml.data.prepare.prepared.os.sysconf", lambda name: 10)
    assert [sum(counts) for counts in prepared.code_counts("train")] == [20]
    assert len(prepared.sample("train", 10).target) == 10


def test_files_that_declare_other_rows_are_not_read(
    prepared: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = prepared.files("train")[0]
    pq.write_table(pa.concat_tables([pq.read_table(path)] * 1000), path)
    monkeypatch.setattr(
        "rayml.data.prepare.prepared.pq.read_table", lambda path: pytest.fail("it is read")
    )
    for read in (
        lambda: prepared.examples("train"),
        lambda: prepared.code_counts("train"),
        lambda: prepared.sample("train", 5),
        prepared.class_shares,
    ):
        with pytest.raises(DataError, match="rows, and the manifest has 20"):
            read()


def test_codes_beyond_their_column_are_refused(prepared: PreparedDataset) -> None:
    path = prepared.files("train")[0]
    table = pq.read_table(path)
    for code in (10**9, -1):
        codes = pa.array([code] * len(table), table.schema.field("c").type)
        pq.write_table(table.set_column(table.column_names.index("c"), "c", codes), path)
        with pytest.raises(DataError, match="codes of 'c'"):
            prepared.code_counts("train")
