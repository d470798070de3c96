"""Columns of texts: what an endpoint computes is, bit for bit, what `prepare` stored."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayml.config.components.build import build
from rayml.data.prepare import passes
from rayml.data.prepare.prepare import PreparedDataset, prepare
from rayml.data.prepare.prepared import open_prepared
from rayml.data.prepare.preview import preview
from rayml.data.sources.files import FileSource
from rayml.data.text.encoder import TextEncoder
from rayml.errors import BundleError, ConfigError, SchemaError
from rayml.registry.bundle.bundle import write_bundle
from rayml.registry.bundle.group import GroupState
from rayml.registry.bundle.info import BundleInfo
from rayml.registry.bundle.provenance import Lineage
from rayml.registry.bundle.signature import make_signature
from rayml.registry.store import Registry
from rayml.serve.openapi.rows import row_schemas
from rayml.serve.predict.explainer import Explainer
from rayml.serve.predict.predictor import Predictor
from rayml.serve.predict.row_parser import RequestParser
from rayml.serve.tensors.arrow import ArrowParser
from rayml.serve.tensors.input_tensors import InputTensors
from rayml.serve.tensors.tensor_features import TensorFeatures
from rayml.serve.tensors.tensors import tensor_from_values
from rayml.settings.data import PreprocessSettings, SchemaSettings, SplitSettings, TextSettings
from rayml.tasks.table import outputs_of
from rayml.types import SPLITS
from tests.data.text import tiny

pytest.importorskip("tokenizers")
pytestmark = pytest.mark.usefixtures("ray_session")

ROWS = 240
KEY = "id"


def raw() -> pa.Table:
    """Rows with texts that repeat, are missing, empty, long, or in odd alphabets."""
    rng = np.random.default_rng(0)
    words = np.array(tiny.WORDS[-11:-1])
    texts = [" ".join(rng.choice(words, rng.integers(1, 40))) for _ in range(ROWS - 40)]
    texts += [str(each) for each in rng.choice([*tiny.TEXTS, "", "  ", "n/a"], 40)]
    good = np.array(["good" in text for text in texts])
    return pa.table(
        {
            KEY: [f"row {i}" for i in range(ROWS)],
            "review": pa.array(texts, mask=np.arange(ROWS) % 17 == 3),
            "title": pa.array(texts[::-1], mask=np.arange(ROWS) % 50 == 3),
            "size": pa.array(rng.normal(size=ROWS), mask=rng.random(ROWS) < 0.1),
            "colour": rng.choice(["red", "blue"], ROWS),
            "label": np.where(good, "yes", "no"),
        }
    )


def prepared_from(tmp_path: Path, **changes: object) -> PreparedDataset:
    if not (tmp_path / "rows.parquet").exists():
        pq.write_table(raw(), tmp_path / "rows.parquet", row_group_size=60)
        tiny.sentence_transformer(tmp_path / "encoders/bert")
        tiny.static(tmp_path / "encoders/static")
    folders = {name: str(tmp_path / "encoders" / name) for name in ("bert", "static")}
    settings = {
        "store": tmp_path / "store",
        "target": "label",
        "task": "binary",
        "schema": SchemaSettings(ignore=(KEY,), groups=(KEY,), missing=("n/a",)),
        "split": SplitSettings(),
        "preprocess": PreprocessSettings(),
        "text": TextSettings(
            encoder={"review": folders["bert"], "title": folders["static"]}, features=6
        ),
    }
    return prepare(FileSource(str(tmp_path / "rows.parquet"), "parquet"), **(settings | changes))


@pytest.fixture(scope="module", params=["standard", "quantile"])
def prepared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> PreparedDataset:
    settings = PreprocessSettings(numeric=request.param)
    return prepared_from(tmp_path_factory.mktemp("texts"), preprocess=settings)


def bundle_of(prepared: PreparedDataset, folder: Path) -> Path:
    preprocessor = prepared.preprocessor
    model = {"_target_": "rayml.models.nets.mlp.MLP", "width": 8, "depth": 1}
    module = build(model, shape=preprocessor.shape, outputs=outputs_of(preprocessor.target))
    return write_bundle(
        folder,
        info=BundleInfo(
            name="reviews", model=model, metric="accuracy", direction="maximize", metrics={}
        ),
        signature=make_signature(preprocessor),
        lineage=Lineage(
            data_hash=prepared.hash,
            source_fingerprint=prepared.source,
            sweep="none",
            trial=0,
            params={},
            seed=0,
        ),
        preprocessor=preprocessor,
        groups=[GroupState(module.state_dict())],
    )


@pytest.fixture(scope="module")
def predictor(prepared: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(
        bundle_of(open_prepared(prepared.path), tmp_path_factory.mktemp("b") / "1")
    )


def test_features_of_each_transport_are_those_that_were_stored(
    prepared: PreparedDataset, predictor: Predictor
) -> None:
    table = raw()
    names = [column.name for column in predictor.signature.inputs]
    assert names == ["review", "title", "size", "colour"]
    rows = {row[KEY]: {n: row[n] for n in names} for row in table.to_pylist()}
    parser = RequestParser(predictor.signature, max_rows=ROWS)
    inputs = InputTensors(predictor.signature, max_rows=ROWS)
    tensors = TensorFeatures(inputs, predictor.signature, predictor.preprocessor)
    arrow = ArrowParser(predictor.signature, max_rows=ROWS, max_bytes=2**20)
    datatypes = {each["name"]: each["datatype"] for each in inputs.metadata()}
    assert datatypes["review"] == "BYTES"
    for split in SPLITS:
        stored = prepared.examples(split).features
        assert np.isfinite(stored.numeric).all()
        keys = prepared.groups(split)[KEY].to_pylist()
        asked = [rows[key] for key in keys]
        parsed = parser.parse(json.dumps(asked).encode())
        given = [
            tensor_from_values(
                name,
                datatypes[name],
                [len(asked)],
                [row[name] if row[name] is not None or name != "size" else np.nan for row in asked],
            )
            for name in names
        ]
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(
            sink, pa.table({n: [r[n] for r in asked] for n in names}).schema
        ) as out:
            out.write_table(pa.table({n: [r[n] for r in asked] for n in names}))
        for found in (
            predictor.features(predictor.table(parsed)),
            predictor.preprocessor.transform_rows(parsed),
            tensors(given),
            predictor.features(arrow.parse(sink.getvalue().to_pybytes())),
        ):
            assert found.numeric.tobytes() == stored.numeric.tobytes()
            assert found.categorical.tobytes() == stored.categorical.tobytes()
        for i, row in enumerate(parsed):
            alone = predictor.preprocessor.transform_rows([row])
            assert alone.numeric.tobytes() == stored.numeric[i].tobytes()


def test_a_text_column_has_so_many_features(prepared: PreparedDataset) -> None:
    fitted = prepared.preprocessor
    parts = [f.name for f in fitted.numeric_features if f.part == "text"]
    assert parts == [*(f"review[{i}]" for i in range(6)), *(f"title[{i}]" for i in range(6))]
    assert {f.name for f in fitted.numeric_features if f.part == "missing"} == {
        "review[missing]",
        "title[missing]",
        "size[missing]",
    }
    assert len(fitted.shape.knots) == fitted.shape.numeric
    cut = [each.text for each in prepared.advice() if each.topic == "texts"]
    assert len(cut) == 1
    assert "of column 'review' have more tokens than the 24 that are read" in cut[0]


def test_answers_warn_of_texts_that_are_cut(predictor: Predictor) -> None:
    answers = predictor.predict_rows(
        [{"review": text, "title": "x", "size": 0.0, "colour": "red"} for text in tiny.TEXTS]
    )
    warned = {i: answer["warnings"] for i, answer in enumerate(answers) if "warnings" in answer}
    assert warned == {5: {"review": "cut"}}
    table = predictor.table([{"review": tiny.TEXTS[5], "title": "x", "size": 0.0, "colour": "red"}])
    assert predictor.predict(table)[0]["warnings"] == {"review": "cut"}


def test_an_explanation_has_one_share_for_a_text(predictor: Predictor) -> None:
    pytest.importorskip("captum")
    explainer = Explainer(predictor, tolerance=0.01, max_steps=1000)
    (found,) = explainer.explain(predictor.table([{"review": "good food", "colour": "red"}]))
    shares = found["attributions"]
    assert list(shares) == ["review", "title", "size", "colour"]
    assert shares["review"] != 0
    assert sum(shares.values()) == pytest.approx(found["prediction"] - found["baseline"], abs=0.01)
    (empty,) = explainer.explain(predictor.table([{"review": " "}]))
    assert empty["attributions"]["review"] == 0  # the baseline has no text


def test_the_signature_says_text_and_shows_none(predictor: Predictor) -> None:
    review = predictor.signature.inputs[0]
    assert (review.kind, review.example, review.categories, review.withheld) == (
        "text",
        None,
        (),
        None,
    )
    schema = row_schemas(predictor.signature, 10, ensemble=False)["Row"]["properties"]["review"]
    assert schema["type"] == ["string", "null"]
    assert schema["description"].startswith("Text")
    for text in tiny.TEXTS[:4]:
        assert text not in json.dumps(predictor.preprocessor.profile())


def test_texts_are_encoded_once_by_workers_and_again_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = prepared_from(tmp_path, store=tmp_path / "held")
    monkeypatch.setattr(passes, "HELD_BYTES", 0)
    made = prepared_from(tmp_path)
    assert made.hash == held.hash
    for split in SPLITS:
        one, other = (data.examples(split).features for data in (made, held))
        assert one.numeric.tobytes() == other.numeric.tobytes()
    counts = []
    for path in (tmp_path / "store/encoders").glob("*.sqlite"):
        with closing(sqlite3.connect(path)) as file:
            counts += file.execute("SELECT count(*) FROM vectors").fetchall()
    texts = (raw()[name].drop_null().to_pylist() for name in ("review", "title"))
    different = [(len({*each} - {"", "  ", "n/a"}),) for each in texts]
    assert sorted(counts) == sorted(different)

    monkeypatch.undo()
    monkeypatch.setattr(TextEncoder, "encode", None)  # what is not kept cannot be encoded
    again = prepared_from(tmp_path, preprocess=PreprocessSettings(numeric="none"))
    assert again.hash != made.hash
    assert again.rows == made.rows


def test_prepared_data_depend_on_the_encoder_and_not_on_its_folder(tmp_path: Path) -> None:
    first = prepared_from(tmp_path)
    (tmp_path / "encoders").rename(tmp_path / "moved")
    folders = {
        name: str(tmp_path / "moved" / each)
        for name, each in zip(("review", "title"), ("bert", "static"), strict=True)
    }
    moved = prepared_from(tmp_path, text=TextSettings(encoder=folders, features=6))
    assert (moved.hash, moved.reused) == (first.hash, True)
    path = tmp_path / "moved/static/0_StaticEmbedding/model.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    assert (
        prepared_from(tmp_path, text=TextSettings(encoder=folders, features=6)).hash != first.hash
    )


def test_versions_share_an_encoder_and_stand_on_their_own(tmp_path: Path) -> None:
    data = prepared_from(tmp_path)
    registry = Registry(tmp_path / "registry")
    for number in (1, 2):
        bundle = bundle_of(data, tmp_path / f"bundle {number}")
        assert registry.register(bundle) == number
    one, two = (registry.resolve("reviews", number) for number in (1, 2))
    (name,) = (
        p.relative_to(one) for p in one.rglob("model.safetensors") if p.stat().st_size > 9000
    )
    assert (one / name).samefile(two / name)
    assert not (one / name).samefile(tmp_path / "bundle 1" / name)
    for gone in ("encoders", "store", "bundle 1", "bundle 2"):
        (tmp_path / gone).rename(tmp_path / f"no {gone}")
    (answer,) = Predictor.load(two).predict_rows([{"review": "good"}])
    assert answer["label"] in {"yes", "no"}
    content = bytearray((one / name).read_bytes())
    content[-3] ^= 1
    (one / name).unlink()
    (one / name).write_bytes(content)
    with pytest.raises(BundleError, match=r"model.safetensors of the bundle was altered"):
        Predictor.load(one)
    assert Predictor.load(two)


def test_settings_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    prepared_from(tmp_path)
    static = str(tmp_path / "encoders/static")

    def refused(text: TextSettings, expected: str, **kinds: str) -> None:
        schema = SchemaSettings(kinds=kinds, ignore=(KEY,))
        with pytest.raises((ConfigError, SchemaError), match=expected):
            prepared_from(tmp_path, text=text, schema=schema)

    refused(TextSettings(), "makes column 'review' text, and data.text.encoder", review="text")
    refused(TextSettings(encoder=static), "no column is one of texts")
    refused(TextSettings(encoder={"review": static}), "makes it numeric", review="numeric")
    refused(TextSettings(encoder={"label": static}), "the target 'label' text")
    refused(TextSettings(encoder={"nosuch": static}), "a column that the data lack: 'nosuch'")
    refused(TextSettings(encoder="/nowhere"), "there is no folder /nowhere", review="text")


def test_a_preview_prepares_the_same_way(tmp_path: Path) -> None:
    data = prepared_from(tmp_path)
    folder = str(tmp_path / "encoders/bert")
    for store in (tmp_path / "store", None):
        seen = preview(
            FileSource(str(tmp_path / "rows.parquet"), "parquet"),
            target="label",
            task="binary",
            schema=SchemaSettings(kinds={"review": "text"}, ignore=(KEY, "title")),
            split=SplitSettings(),
            preprocess=PreprocessSettings(),
            text=TextSettings(encoder=folder, features=None),
            store=store,
        )
        parts = [f for f in seen.preprocessor.numeric_features if f.part == "text"]
        assert len(parts) == tiny.WIDTH
        assert "texts" in {each.topic for each in seen.advice}
        assert len(seen.examples) == ROWS
    assert data.rows["train"] < ROWS
