from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayml.data.prepare import passes, placing
from rayml.data.prepare.prepare import PreparedDataset, open_prepared, prepare
from rayml.data.prepare.prepared import FOLDS, MANIFEST
from rayml.data.sources.bundled import SklearnSource
from rayml.data.split.folds import Folds
from rayml.errors import DataError
from rayml.settings.data import PreprocessSettings, SchemaSettings, SplitSettings

pytestmark = pytest.mark.usefixtures("ray_session")


class Tables:
    """A source of tables in memory, one block each."""

    def __init__(self, *tables: pa.Table) -> None:
        self.tables = list(tables)

    def fingerprint(self) -> str:
        return "tables"

    def read(self) -> Any:
        import ray.data

        return ray.data.from_arrow(self.tables)


def raw(rows: int = 200) -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table(
        {
            "number": rng.standard_normal(rows),
            "user": [f"u{i}" for i in rng.integers(0, 40, rows)],
            "y": rng.choice(["no", "yes"], rows),
            "part": rng.choice(["train", "validation", "test"], rows, p=[0.6, 0.2, 0.2]),
        }
    )


def made(store: Path, *tables: pa.Table, ignore: tuple[str, ...] = (), **split: Any) -> Any:
    return prepare(
        Tables(*tables),
        store=store,
        target="y",
        task="binary",
        schema=SchemaSettings(ignore=ignore),
        split=SplitSettings(**split),
        preprocess=PreprocessSettings(),
    )


def dealt(data: PreparedDataset) -> Folds:
    found = data.dealt()
    assert found is not None
    return found


def test_folds_deal_the_rows_that_would_train_and_validate(tmp_path: Path) -> None:
    plain, folded = (made(tmp_path, raw(), ignore=("part",), folds=n) for n in (0, 4))
    assert plain.dealt() is None
    assert folded.rows["train"] == plain.rows["train"] + plain.rows["validation"]
    assert folded.rows["validation"] == 0
    assert folded.test_rows().equals(plain.test_rows())
    folds = dealt(open_prepared(folded.path))
    assert len(folds) == folded.rows["train"]
    codes = folded.examples("train").target
    for code in (0, 1):
        sizes = np.bincount(folds.held[codes == code], minlength=4)
        assert sizes.max() - sizes.min() <= 1


def test_data_without_folds_keep_the_hash_that_they_had(tmp_path: Path) -> None:
    data = prepare(
        SklearnSource("iris"),
        store=tmp_path,
        target="target",
        task="multiclass",
        schema=SchemaSettings(),
        split=SplitSettings(method="stratified"),
        preprocess=PreprocessSettings(),
    )
    assert data.hash == "5e7c2119755fad02"
    assert "folds" not in json.loads((data.path / MANIFEST).read_text())


def test_a_given_validation_split_is_folded_in(tmp_path: Path) -> None:
    rows = raw()
    data = made(tmp_path, rows, method="given", column="part", folds=5)
    names = rows["part"].to_pylist()
    sizes = {"train": len(names) - names.count("test"), "validation": 0}
    assert data.rows == {**sizes, "test": names.count("test")}


@pytest.mark.parametrize("where", ["in the driver", "in the store", "in several blocks"])
def test_folds_do_not_depend_on_blocks_or_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    if where != "in the driver":
        monkeypatch.setattr(passes, "HELD_BYTES", 0)
    if where == "in several blocks":
        monkeypatch.setattr(placing, "_BLOCK_VALUES", 100)
    rows = raw()
    turned = rows.take(np.random.default_rng(1).permutation(rows.num_rows))
    split = {"method": "group", "column": "user", "folds": 3}
    one = made(tmp_path / "one", rows, ignore=("part",), **split)
    other = made(
        tmp_path / "other", turned.slice(50), turned.slice(0, 50), ignore=("part",), **split
    )
    assert (where == "in several blocks") == (len(one.files("train")) > 1)
    assert (dealt(one).held == dealt(other).held).all()
    assert one.examples("train").target.tobytes() == other.examples("train").target.tobytes()
    # Numbers tell rows apart, so that each prepared row's group can be looked up.
    scaled = one.preprocessor.transform_batch(rows).numeric[:, 0]
    users = dict(zip(scaled.tolist(), rows["user"].to_pylist(), strict=True))
    held: dict[str, set[int]] = {}
    numbers = one.examples("train").features.numeric[:, 0].tolist()
    for number, fold in zip(numbers, dealt(one).held.tolist(), strict=True):
        held.setdefault(users[number], set()).add(fold)
    assert all(len(folds) == 1 for folds in held.values())
    assert set.union(*held.values()) == {0, 1, 2}


def test_what_makes_no_folds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="groups in column"):
        made(tmp_path, raw(), ignore=("part",), method="group", column="user", folds=50, test=0.01)
    few = raw(60).set_column(2, "y", pa.array(["no"] * 56 + ["yes"] * 4))
    with pytest.raises(DataError, match="rows of class 'yes' of column 'y'"):
        made(tmp_path, few, ignore=("part",), folds=5)
    assert not [each for each in tmp_path.iterdir() if not each.name.startswith(".")]


def test_folds_that_do_not_fit_the_rows_are_refused(tmp_path: Path) -> None:
    data = made(tmp_path, raw(), ignore=("part",), folds=4)
    table = pq.read_table(data.path / FOLDS)
    for bad in (
        table.slice(1),
        table.set_column(0, "held", pa.array([9] * table.num_rows, pa.int16())),
        table.drop_columns(["last"]),
    ):
        pq.write_table(bad, data.path / FOLDS)
        with pytest.raises(DataError, match="does not hold 4 folds"):
            data.dealt()
    (data.path / FOLDS).unlink()
    with pytest.raises(DataError, match="does not hold 4 folds"):
        data.dealt()
