from __future__ import annotations

import dataclasses
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayml.data.prepare import passes, placing
from rayml.data.prepare.prepare import PreparedDataset, open_prepared, prepare
from rayml.data.sources.bundled import SklearnSource
from rayml.errors import BadRowsError, DataError, SchemaError, SourceError
from rayml.settings.data import PreprocessSettings, SchemaSettings, SplitSettings
from rayml.types import SPLITS

pytestmark = pytest.mark.usefixtures("ray_session")

EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
NONE = SchemaSettings()


@dataclasses.dataclass
class Tables:
    """A source of tables in memory, one block each."""

    tables: list[pa.Table]
    name: str = "tables"

    def fingerprint(self) -> str:
        return self.name

    def read(self) -> Any:
        import ray.data

        return ray.data.from_arrow(self.tables)


def raw(rows: int = 200) -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table(
        {
            "age": [str(age) for age in rng.integers(18, 80, rows)],
            "pay": pa.array(rng.lognormal(size=rows), mask=rng.random(rows) < 0.1),
            "job": rng.choice(["chef", "clerk", "cook"], rows),
            "when": [EPOCH + timedelta(hours=int(h)) for h in rng.integers(0, 5000, rows)],
            "user": [f"u{i}" for i in rng.integers(0, 40, rows)],
            "y": rng.choice(["no", "yes"], rows),
            "__file__": ["f.csv"] * rows,
            "__line__": range(2, rows + 2),
            "__malformed__": pa.nulls(rows, pa.string()),
        }
    )


def spoilt(table: pa.Table, changes: dict[str, dict[int, str | None]]) -> pa.Table:
    for name, cells in changes.items():
        values = table[name].to_pylist()
        for row, value in cells.items():
            values[row] = value
        column = pa.array(values, table[name].type)
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def shuffled(table: pa.Table, blocks: int, seed: int = 1) -> list[pa.Table]:
    table = table.take(random.Random(seed).sample(range(table.num_rows), table.num_rows))
    bounds = np.linspace(0, table.num_rows, blocks + 1).astype(int)
    return [table.slice(low, high - low) for low, high in pairwise(bounds)]


@pytest.fixture(params=["held in the driver", "in the object store"])
def run(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., PreparedDataset]:
    if request.param == "in the object store":
        monkeypatch.setattr(passes, "HELD_BYTES", 0)

    def run(source: Any, *, store: str = "store", **changes: Any) -> PreparedDataset:
        settings: dict[str, Any] = {
            "target": "y",
            "task": "binary",
            "schema": SchemaSettings(groups=("job",)),
            "split": SplitSettings(),
            "preprocess": PreprocessSettings(),
        }
        return prepare(source, store=tmp_path / store, **(settings | changes))

    return run


Run = Callable[..., PreparedDataset]


def assert_same(one: PreparedDataset, other: PreparedDataset) -> None:
    for split in SPLITS:
        a, b = one.examples(split), other.examples(split)
        assert a.features.numeric.tobytes() == b.features.numeric.tobytes()
        assert a.features.categorical.tobytes() == b.features.categorical.tobytes()
        assert a.target.tobytes() == b.target.tobytes()
        assert one.groups(split).equals(other.groups(split))


def test_a_source_becomes_features_and_targets(run: Run) -> None:
    told: list[str] = []
    prepared = run(Tables([raw()]), on_progress=told.append)
    assert dict(prepared.rows) == {"train": 120, "validation": 40, "test": 40}
    assert not prepared.reused
    assert told == [
        "reading the source", "splitting", "fitting the preprocessor",
        "writing the prepared splits",
    ]  # fmt: skip
    kinds = {column.name: column.kind for column in prepared.schema.columns}
    assert kinds == {
        "age": "numeric", "pay": "numeric", "job": "categorical", "when": "timestamp",
        "user": "categorical",
    }  # fmt: skip
    train = prepared.examples("train")
    assert train.features.numeric[:, 0].mean() == pytest.approx(0, abs=1e-6)
    assert prepared.groups("test").num_rows == 40
    assert set(prepared.timings) >= {"read", "schema", "split", "fit", "write", "total"}


def test_the_result_does_not_depend_on_the_order_of_rows_or_blocks(run: Run) -> None:
    whole = run(Tables([raw()], "whole"))
    parts = run(Tables(shuffled(raw(), 7), "parts"))
    assert whole.hash != parts.hash
    assert_same(whole, parts)
    assert whole.preprocessor.profile() == parts.preprocessor.profile()


def few_valued(rows: int = 1000) -> pa.Table:
    rng = np.random.default_rng(3)
    return pa.table({"a": rng.integers(0, 2, rows), "y": rng.choice(["no", "yes"], rows)})


def test_few_different_rows_meet_the_fractions_whatever_their_blocks(run: Run) -> None:
    settings: dict[str, Any] = {"schema": SchemaSettings()}
    whole = run(Tables([few_valued()], "whole"), **settings)
    assert dict(whole.rows) == {"train": 600, "validation": 200, "test": 200}
    parts = shuffled(few_valued(), 6)
    parts.insert(2, parts[0].slice(0, 0))
    assert_same(whole, run(Tables(parts, "parts"), **settings))


def test_what_is_to_be_known_is_kept_with_the_data_and_so_are_test_rows(run: Run) -> None:
    known = raw().append_column("answer", raw()["y"])
    told = {each.topic: each for each in run(Tables([known], "told")).advice()}
    assert told["target"].columns == ("answer",)
    part = ["train"] * 120 + ["validation"] * 40 + ["test"] * 40
    twice = pa.concat_tables([raw().slice(0, 160), raw().slice(0, 40)])
    split = SplitSettings(method="given", column="part")
    prepared = run(Tables([twice.append_column("part", pa.array(part))], "twice"), split=split)
    assert [each.text for each in prepared.advice() if each.topic == "repeated rows"] == [
        "40 of 40 test rows equal a training row"
    ]
    counts = np.bincount(prepared.examples("train").target)
    assert prepared.class_shares() == pytest.approx(counts / counts.sum())
    rows = prepared.test_rows()
    assert rows is not None
    features = prepared.preprocessor.transform_batch(rows)
    assert features.numeric.tobytes() == prepared.examples("test").features.numeric.tobytes()
    (prepared.path / "advice.json").unlink()
    (prepared.path / "rows" / "test.parquet").unlink()
    older = open_prepared(prepared.path)
    assert (older.advice(), older.test_rows()) == ((), None)


@pytest.mark.timeout(240)
def test_data_of_many_blocks_is_shuffled_to_the_same_rows(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(Tables([raw()]), split=SplitSettings(seed=5))
    monkeypatch.setattr(passes, "HELD_BYTES", 0)
    monkeypatch.setattr(placing, "_BLOCK_VALUES", 400)
    parts = run(Tables(shuffled(raw(), 5)), split=SplitSettings(seed=5), store="other")
    assert len(parts.files("train")) > 1
    for split in SPLITS:
        a, b = whole.examples(split), parts.examples(split)
        # The sums of moments are taken block by block, so a last bit may differ.
        np.testing.assert_allclose(a.features.numeric, b.features.numeric, rtol=1e-5, atol=1e-6)
        assert a.features.categorical.tobytes() == b.features.categorical.tobytes()
        assert a.target.tobytes() == b.target.tobytes()
        assert whole.groups(split).equals(parts.groups(split))


def test_the_same_is_prepared_once(run: Run) -> None:
    first = run(Tables([raw()]))
    assert run(Tables([])).reused
    assert_same(first, open_prepared(first.path))
    other = run(Tables([raw()]), preprocess=PreprocessSettings(numeric="quantile"))
    assert (other.reused, other.hash == first.hash) == (False, False)


def test_concurrent_preparations_end_with_one_dataset(run: Run, tmp_path: Path) -> None:
    made: list[PreparedDataset] = []
    threads = [threading.Thread(target=lambda: made.append(run(Tables([raw()])))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made[0].path == made[1].path
    assert [path.name for path in (tmp_path / "store").iterdir()] == [made[0].hash]
    assert_same(*made)


BAD = {
    "age": {3: "old", 7: "1e999", 50: "?"},
    "y": {9: None, 7: None},
    "__malformed__": {20: "3 fields, expected 6"},
}


def test_bad_rows_fail_with_file_line_and_column(run: Run, tmp_path: Path) -> None:
    source = Tables(shuffled(spoilt(raw(), BAD), 3))
    with pytest.raises(BadRowsError) as caught:
        run(source)
    message = str(caught.value)
    assert "5 of 200 rows do not fit the schema: f.csv line 5, column 'age': 'old'" in message
    assert "f.csv line 22, 3 fields, expected 6" in message
    assert list((tmp_path / "store").iterdir()) == []


def test_bad_rows_go_to_quarantine_and_the_others_on(run: Run) -> None:
    source = Tables(shuffled(spoilt(raw(), BAD), 3))
    prepared = run(source, bad_rows="quarantine")
    assert sum(prepared.rows.values()) == 195
    assert prepared.quarantined == 5
    assert prepared.reasons == {
        "age is not a finite number": 3, "y is missing": 1, "malformed": 1,
    }  # fmt: skip
    assert prepared.quarantine is not None
    rows = pq.read_table(prepared.quarantine).sort_by("line")
    assert rows["line"].to_pylist() == [5, 9, 11, 22, 52]
    good = raw().take([i for i in range(200) if i not in (3, 7, 9, 20, 50)])
    assert_same(prepared, run(Tables([good], "good")))


def test_only_bad_rows_fail_under_either_policy(run: Run) -> None:
    table = spoilt(raw(10), {"y": dict.fromkeys(range(10))})
    with pytest.raises((BadRowsError, DataError)):
        run(Tables([table]), bad_rows="quarantine")


@pytest.mark.parametrize(
    "split",
    [
        SplitSettings(method="stratified"),
        SplitSettings(method="group", column="user"),
        SplitSettings(method="time", column="when"),
    ],
    ids=lambda split: split.method,
)
def test_each_method_splits_without_regard_to_order(run: Run, split: SplitSettings) -> None:
    groups = SchemaSettings(groups=("user", "when"))
    prepared = run(Tables([raw()], "whole"), split=split, schema=groups)
    assert_same(prepared, run(Tables(shuffled(raw(), 4), "parts"), split=split, schema=groups))
    sides = [prepared.groups(name) for name in SPLITS]
    if split.method == "group":
        users = [set(side["user"].to_pylist()) for side in sides]
        assert all(one.isdisjoint(other) for one, other in combinations(users, 2))
        assert "user" not in [column.name for column in prepared.schema.columns]
    if split.method == "time":
        assert max(sides[0]["when"].to_pylist()) < min(sides[1]["when"].to_pylist())
        assert max(sides[1]["when"].to_pylist()) < min(sides[2]["when"].to_pylist())


def test_given_splits_are_taken(run: Run) -> None:
    table = raw().append_column("part", pa.array(["train", "dev", "test", "train"] * 50))
    split = SplitSettings(method="given", column="part")
    prepared = run(Tables([table]), split=split, schema=SchemaSettings(groups=("part",)))
    assert dict(prepared.rows) == {"train": 100, "validation": 50, "test": 50}
    assert set(prepared.groups("validation")["part"].to_pylist()) == {"dev"}


def test_features_of_prepared_rows_are_those_of_serving(run: Run) -> None:
    # Group columns carry the raw row along, so that it can be sent through the transform again.
    names = ("age", "pay", "job", "when", "user")
    prepared = run(Tables(shuffled(raw(), 3)), schema=SchemaSettings(groups=names))
    examples = prepared.examples("test")
    rows = prepared.groups("test")
    for i in (0, 7, 39):
        served = prepared.preprocessor.transform_batch(rows.slice(i, 1))
        assert served.numeric.tobytes() == examples.features.numeric[i].tobytes()
        assert served.categorical.tobytes() == examples.features.categorical[i].tobytes()


def test_what_cannot_be_prepared_is_refused(run: Run) -> None:
    with pytest.raises(SchemaError, match="target names a column that the data lack: 'nope'"):
        run(Tables([raw()]), target="nope")
    with pytest.raises(DataError, match=r"data\.task=regression predicts numbers"):
        run(Tables([raw()]), task="regression")
    with pytest.raises(DataError, match="the source has no rows"):
        run(Tables([raw().slice(0, 0)]))
    torn = {"__malformed__": dict.fromkeys(range(200), "1 fields, expected 6")}
    with pytest.raises(DataError, match=r"malformed \(f\.csv line 2: 1 fields, expected 6\)"):
        run(Tables([spoilt(raw(), torn)]))
    with pytest.raises(SourceError, match=r"a name that rayml reserves: \['__order__'\]"):
        run(Tables([raw().append_column("__order__", pa.array(range(200)))]))
    rare = spoilt(raw(), {"y": {0: "maybe"}})
    part = pa.array(["test", *["train"] * 199])
    split = SplitSettings(method="given", column="part")
    with pytest.raises(DataError, match=r"the test split has classes .*: \['maybe'\]"):
        run(Tables([rare.append_column("part", part)]), split=split)


def test_errors_of_workers_come_as_they_were_raised(run: Run) -> None:
    class Failing(Tables):
        def read(self) -> Any:
            def fail(_: pa.Table) -> pa.Table:
                raise SourceError("a file can be read", found="f.csv", remedy="Mend it")

            return super().read().map_batches(fail, batch_format="pyarrow")

    with pytest.raises(SourceError, match=r"a file can be read: 'f.csv'\. Mend it") as caught:
        run(Failing([raw()]))
    assert caught.value.remedy == "Mend it"


@pytest.mark.parametrize(
    ("name", "task", "shape"),
    [("diabetes", "regression", 10), ("wine", "multiclass", 13), ("breast_cancer", "binary", 30)],
)
def test_bundled_data_is_prepared(run: Run, name: str, task: Any, shape: int) -> None:
    prepared = run(SklearnSource(name), target="target", task=task, schema=NONE)
    examples = prepared.examples("train")
    assert examples.features.numeric.shape == (prepared.rows["train"], shape)
    assert examples.target.dtype == (np.float32 if task == "regression" else np.int64)
    if task == "regression":
        assert [examples.target.mean(), examples.target.std()] == pytest.approx([0, 1], abs=1e-5)


def test_many_small_blocks_are_brought_together(run: Run) -> None:
    prepared = run(Tables(shuffled(raw(), 50), "many"))
    assert_same(prepared, run(Tables([raw()], "one")))


def test_tokens_of_the_source_and_the_settings_are_kept(run: Run) -> None:
    table = spoilt(raw(), {"age": dict.fromkeys(range(8), "?")})
    with pytest.raises(BadRowsError):
        run(Tables([table], "plain"))
    source = Tables([table], "tokens")
    source.missing = ("NA",)  # type: ignore[attr-defined]
    settings = SchemaSettings(missing=("?",))
    prepared = run(source, schema=settings)
    assert prepared.schema.missing == ("NA", "?")
    assert prepared.preprocessor.profile()["age"]["missing"] > 0
    assert "age[missing]" in [each.name for each in prepared.preprocessor.features]
    assert run(source, schema=settings).reused
    # The same as an older rayml left it, which knew nothing of tokens.
    older = run(source_of("older", ("NA",)))
    path = older.path / "preprocessor" / "preprocessor.json"
    path.write_text(path.read_text().replace('"NA"', ""))
    assert open_prepared(older.path).schema.missing == ()
    again = run(source_of("older", ("NA",)))
    assert again.reused
    assert again.schema.missing == ("NA",)


def source_of(name: str, missing: tuple[str, ...]) -> Tables:
    source = Tables([raw()], name)
    source.missing = missing  # type: ignore[attr-defined]
    return source
