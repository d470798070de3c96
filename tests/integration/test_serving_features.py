"""What an endpoint computes from JSON is, bit for bit, what `prepare` stored for training."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from rayml.config.components.build import build
from rayml.data.prepare.prepare import PreparedDataset, prepare
from rayml.data.sources.files import FileSource
from rayml.registry.bundle.bundle import write_bundle
from rayml.registry.bundle.group import GroupState
from rayml.registry.bundle.info import BundleInfo
from rayml.registry.bundle.provenance import Lineage
from rayml.registry.bundle.signature import make_signature
from rayml.serve.predict.predictor import Predictor
from rayml.serve.predict.row_parser import RequestParser
from rayml.settings.data import PreprocessSettings, SchemaSettings, SplitSettings
from rayml.tasks.table import outputs_of
from rayml.types import SPLITS

pytestmark = pytest.mark.usefixtures("ray_session")

ROWS = 300
KEY = "id"


def raw() -> pa.Table:
    """Rows of every kind, each with missing values; a key tells them apart."""
    rng = np.random.default_rng(0)
    missing = [rng.random(ROWS) < 0.1 for _ in range(4)]
    start = datetime(2023, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
    times = [start + timedelta(microseconds=int(n)) for n in rng.integers(0, 10**14, ROWS)]
    return pa.table(
        {
            KEY: [f"row {i}" for i in range(ROWS)],
            "pay": pa.array(rng.lognormal(sigma=9, size=ROWS), mask=missing[0]),
            "count": rng.integers(0, 2**60, ROWS),
            "job": pa.array(rng.choice(["chef", "cook", "Bäcker", "a: b"], ROWS), mask=missing[1]),
            "new": pa.array(rng.random(ROWS) < 0.5, mask=missing[2]),
            "seen": pa.array(times, pa.timestamp("us", tz="UTC"), mask=missing[3]),
            "label": rng.choice(["no", "yes"], ROWS),
        }
    )


@pytest.fixture(params=["standard", "quantile"])
def prepared(request: pytest.FixtureRequest, tmp_path: Path) -> PreparedDataset:
    """Prepared from a file of text, as most tables come."""
    pa.csv.write_csv(raw(), tmp_path / "rows.csv")
    return prepare(
        FileSource(str(tmp_path / "rows.csv")),
        store=tmp_path / "store",
        target="label",
        task="binary",
        schema=SchemaSettings(ignore=(KEY,), groups=(KEY,)),
        split=SplitSettings(),
        preprocess=PreprocessSettings(numeric=request.param),
        bad_rows="fail",
    )


@pytest.fixture
def predictor(prepared: PreparedDataset, tmp_path: Path) -> Predictor:
    preprocessor = prepared.preprocessor
    model = {"_target_": "rayml.models.nets.mlp.MLP", "width": 8, "depth": 1}
    module = build(model, shape=preprocessor.shape, outputs=outputs_of(preprocessor.target))
    folder = write_bundle(
        tmp_path / "bundle",
        info=BundleInfo(
            name="rows", model=model, metric="accuracy", direction="maximize", metrics={}
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
    return Predictor.load(folder)


def test_features_from_json_are_those_that_were_stored(
    prepared: PreparedDataset, predictor: Predictor
) -> None:
    table = raw()
    names = [column.name for column in predictor.signature.inputs]
    assert set(names) == set(table.column_names) - {KEY, "label"}
    rows = {row[KEY]: {n: row[n] for n in names} for row in table.to_pylist()}
    parser = RequestParser(predictor.signature, max_rows=ROWS)

    def served(keys: list[str]) -> tuple[bytes, bytes]:
        body = json.dumps([rows[key] for key in keys], default=datetime.isoformat).encode()
        features = predictor.features(predictor.table(parser.parse(body)))
        return features.numeric.tobytes(), features.categorical.tobytes()

    seen = 0
    for split in SPLITS:
        stored = prepared.examples(split).features
        keys = prepared.groups(split)[KEY].to_pylist()
        assert served(keys) == (stored.numeric.tobytes(), stored.categorical.tobytes())
        for i, key in enumerate(keys):
            alone = stored.numeric[i].tobytes(), stored.categorical[i].tobytes()
            assert served([key]) == alone
        seen += len(keys)
    assert seen == ROWS
