"""Predictions equal the bundle's own and do not depend on the company they are made in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from rayml.config.components.build import build
from rayml.errors import BundleError
from rayml.registry.bundle.bundle import load_bundle, write_bundle
from rayml.registry.bundle.group import GroupState
from rayml.registry.bundle.info import BundleInfo
from rayml.serve.predict.predictor import Predictor
from rayml.serve.predict.row_parser import RequestParser
from rayml.tasks.table import outputs_of


def inputs_of(predictor: Predictor, table: pa.Table) -> pa.Table:
    return table.select([column.name for column in predictor.signature.inputs])


def as_bodies(table: pa.Table) -> list[bytes]:
    return [
        json.dumps(row, default=lambda time: time.isoformat()).encode() for row in table.to_pylist()
    ]


def served_table(predictor: Predictor, table: pa.Table) -> pa.Table:
    parser = RequestParser(predictor.signature, max_rows=1000)
    bodies = as_bodies(table)
    return predictor.table(parser.parse(b"[" + b",".join(bodies) + b"]"))


def test_rows_through_json_are_the_same_table(predictor: Predictor, table: pa.Table) -> None:
    raw = inputs_of(predictor, table)
    assert served_table(predictor, raw).to_pylist() == raw.to_pylist()


def test_features_are_those_of_training_bit_by_bit(predictor: Predictor, table: pa.Table) -> None:
    raw = inputs_of(predictor, table)
    trained = predictor.bundle.preprocessor().transform_batch(raw)
    served = predictor.features(served_table(predictor, raw))
    assert served.numeric.tobytes() == trained.numeric.tobytes()
    assert served.categorical.tobytes() == trained.categorical.tobytes()
    for index in range(len(raw)):
        alone = predictor.features(served_table(predictor, raw.slice(index, 1)))
        assert alone.numeric.tobytes() == trained.numeric[index : index + 1].tobytes()
        assert alone.categorical.tobytes() == trained.categorical[index : index + 1].tobytes()


def test_features_of_few_rows_are_those_of_their_table_bit_by_bit(
    predictor: Predictor, table: pa.Table
) -> None:
    parser = RequestParser(predictor.signature, max_rows=1000)
    bodies = as_bodies(inputs_of(predictor, table))
    odd = [b'{"size": null, "colour": "ultraviolet"}', b'{"size": -1e308}', b'{"colour": null}']
    rows = parser.parse(b"[" + b",".join([*bodies, *odd]) + b"]")
    assert len(rows) < 64
    for some in (rows, *([row] for row in rows)):
        own, other = predictor.row_features(some), predictor.features(predictor.table(some))
        assert own.numeric.dtype == other.numeric.dtype
        assert own.numeric.shape == other.numeric.shape
        assert own.numeric.tobytes() == other.numeric.tobytes()
        assert own.categorical.dtype == other.categorical.dtype
        assert own.categorical.shape == other.categorical.shape
        assert own.categorical.tobytes() == other.categorical.tobytes()


def test_many_rows_are_predicted_as_few_are(predictor: Predictor) -> None:
    rows = [{"size": n / 7, "colour": ["red", "blue", None][n % 3]} for n in range(200)]
    together = predictor.row_features(rows)
    for start in range(0, 200, 50):
        few = predictor.row_features(rows[start : start + 50])
        assert few.numeric.tobytes() == together.numeric[start : start + 50].tobytes()
        assert few.categorical.tobytes() == together.categorical[start : start + 50].tobytes()


def test_predictions_are_those_of_the_bundle(predictor: Predictor, table: pa.Table) -> None:
    raw = inputs_of(predictor, table)
    bundle = predictor.bundle
    features = bundle.preprocessor().transform_batch(raw)
    model = build(
        bundle.info.model.plain(),
        shape=bundle.preprocessor().shape,
        outputs=outputs_of(bundle.signature.target),
    )
    model.load_state_dict(bundle.groups[0].weights())
    with torch.no_grad():
        outputs = model.eval()(
            torch.from_numpy(features.numeric), torch.from_numpy(features.categorical)
        )
    target = bundle.signature.target
    own = {
        "binary": lambda: outputs.squeeze(-1).sigmoid(),
        "multiclass": lambda: outputs.softmax(-1),
        "regression": lambda: outputs.squeeze(-1) * target.scale + target.mean,
    }[target.task]()
    predicted = predictor.outputs(predictor.features(raw))
    torch.testing.assert_close(predicted, own, check_dtype=False)


def test_a_prediction_does_not_depend_on_its_batch(predictor: Predictor, table: pa.Table) -> None:
    raw = inputs_of(predictor, table)
    together = predictor.outputs(predictor.features(raw))
    for index in range(len(raw)):
        alone = predictor.outputs(predictor.features(raw.slice(index, 1)))
        torch.testing.assert_close(alone[0], together[index], rtol=1e-5, atol=1e-6)


def test_answers(predictor: Predictor, table: pa.Table) -> None:
    answers = predictor.predict(inputs_of(predictor, table))
    assert len(answers) == len(table)
    target = predictor.signature.target
    for answer in answers:
        if target.task == "regression":
            assert list(answer) == ["value"]
            assert isinstance(answer["value"], float)
        else:
            probabilities = answer["probabilities"]
            assert list(probabilities) == list(target.classes)
            assert sum(probabilities.values()) == pytest.approx(1, abs=1e-6)
            assert answer["probability"] == max(probabilities.values())
            assert probabilities[answer["label"]] == answer["probability"]


def test_unknown_and_missing_values_are_predicted(predictor: Predictor) -> None:
    rows = [{"colour": "ultraviolet"}, {"colour": None}, {"size": 1.0}, {"size": 1e30}]
    outputs = predictor.outputs(predictor.features(predictor.table(rows)))
    assert np.isfinite(outputs.numpy()).all()


def test_weights_of_another_model_are_refused(binary_bundle: Path, tmp_path: Path) -> None:
    opened = load_bundle(binary_bundle)
    info = opened.info
    wider = BundleInfo(
        name=info.name,
        model={**info.model.plain(), "width": 999},
        metric=info.metric,
        direction=info.direction,
        metrics=info.metrics,
    )
    folder = write_bundle(
        tmp_path / "wider",
        info=wider,
        signature=opened.signature,
        lineage=opened.lineage,
        preprocessor=opened.preprocessor(),
        groups=[GroupState(opened.groups[0].weights())],
    )
    with pytest.raises(BundleError, match="weights"):
        Predictor.load(folder)
