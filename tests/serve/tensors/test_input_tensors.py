"""Tables from input tensors, and output tensors from predictions."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic_core import to_json

from rayml.errors import RequestError, ServeError
from rayml.serve.predict.answer import Estimate
from rayml.serve.predict.predictor import Predictor
from rayml.serve.predict.row_parser import RequestParser
from rayml.serve.tensors.input_tensors import MATRIX, InputTensors
from rayml.serve.tensors.model_metadata import model_metadata
from rayml.serve.tensors.output_tensors import OutputTensors
from rayml.serve.tensors.tensors import Tensor, tensor_from_values
from rayml.tasks.class_task import class_key
from rayml.testing.bundles import untrained_bundle

ROWS: list[dict[str, Any]] = [
    {"size": 0.1, "count of parts": 3, "colour": "red", "new": True, "seen": "2024-05-17 08:30"},
    {"size": -1e300, "colour": "violet", "new": False, "seen": "2024-05-17T08:30:00.123456+02:00"},
    {"size": None, "count of parts": 2**60 + 1, "colour": None, "new": None, "seen": None},
    {"colour": "blue", "new": True, "seen": "1969-12-31"},
]
NAN = math.nan


def tensors_of(rows: list[dict[str, Any]], *, shape: list[int]) -> list[Tensor]:
    """The same values as tensors."""

    def values(name: str, missing: object) -> list[Any]:
        given = [row.get(name) for row in rows]
        return [missing if value is None else value for value in given]

    return [
        tensor_from_values("size", "FP64", shape, values("size", NAN)),
        tensor_from_values("count of parts", "FP64", shape, values("count of parts", NAN)),
        tensor_from_values("colour", "BYTES", shape, values("colour", "")),
        tensor_from_values("new", "FP32", shape, _flags(rows)),
        tensor_from_values("seen", "BYTES", shape, values("seen", "")),
    ]


def _flags(rows: list[dict[str, Any]]) -> list[float]:
    return [NAN if row.get("new") is None else float(row["new"]) for row in rows]


@pytest.fixture(scope="module")
def boxes(binary_bundle: Path) -> Predictor:
    return Predictor.load(binary_bundle)


@pytest.fixture(scope="module")
def inputs(boxes: Predictor) -> InputTensors:
    return InputTensors(boxes.signature, max_rows=5)


@pytest.mark.parametrize("shape", [[4], [4, 1]])
def test_tensors_and_json_rows_give_the_same_bits(
    boxes: Predictor, inputs: InputTensors, shape: list[int]
) -> None:
    rows = RequestParser(boxes.signature, max_rows=5).parse(to_json(ROWS))
    expected = boxes.features(boxes.table(rows))
    features = boxes.features(inputs.table(tensors_of(ROWS, shape=shape)))
    assert features.numeric.tobytes() == expected.numeric.tobytes()
    assert features.categorical.tobytes() == expected.categorical.tobytes()


def test_columns_that_are_left_out_are_missing(boxes: Predictor, inputs: InputTensors) -> None:
    table = inputs.table([tensor_from_values("size", "FP32", [2], [1.5, NAN])])
    rows = boxes.table([{"size": 1.5}, {}])
    assert boxes.features(table).numeric.tobytes() == boxes.features(rows).numeric.tobytes()
    assert table.column("colour").null_count == 2


@pytest.mark.parametrize("datatype", ["INT8", "INT64", "UINT16", "UINT64", "FP16", "FP32", "FP64"])
def test_numbers_may_be_of_any_width(inputs: InputTensors, datatype: str) -> None:
    tensor = tensor_from_values("size", datatype, [2], [3, 0])
    assert inputs.table([tensor]).column("size").to_pylist() == [3.0, 0.0]


def test_categories_may_be_integers_and_truth_values_bytes(inputs: InputTensors) -> None:
    table = inputs.table(
        [
            tensor_from_values("colour", "INT32", [2], [-7, 12]),
            tensor_from_values("new", "BOOL", [2], [True, False]),
        ]
    )
    assert table.column("colour").to_pylist() == ["-7", "12"]
    assert table.column("new").to_pylist() == [True, False]
    whole = inputs.table([tensor_from_values("new", "UINT8", [2], [1, 0])])
    assert whole.column("new").to_pylist() == [True, False]


def test_an_empty_string_that_training_saw_is_a_category(tmp_path: Path) -> None:
    raw = pa.table({"c": ["", "a", "a", ""] * 5, "y": ["n", "p", "p", "n"] * 5})
    bundle = untrained_bundle(tmp_path / "bundle", raw, target="y", task="binary")
    signature = Predictor.load(bundle).signature
    table = InputTensors(signature, max_rows=5).table(
        [tensor_from_values("c", "BYTES", [3], ["", "a", None])]
    )
    assert table.column("c").to_pylist() == ["", "a", None]


@pytest.mark.parametrize(
    ("tensors", "named", "status"),
    [
        ([("size", "BYTES", [1], ["1"])], "numeric input 'size'", 400),
        ([("colour", "BOOL", [1], [True])], "categorical input 'colour'", 400),
        ([("colour", "FP64", [1], [1.5])], "row 0, input 'colour'", 400),
        ([("new", "BYTES", [1], ["true"])], "boolean input 'new'", 400),
        ([("seen", "INT64", [1], [1])], "timestamp input 'seen'", 400),
        ([("size", "FP64", [2], [1.0, math.inf])], "row 1, input 'size'", 400),
        ([("new", "FP64", [2], [1.0, 0.5])], "row 1, input 'new'", 400),
        ([("seen", "BYTES", [2], ["2024-01-01", "soon"])], "row 1, input 'seen'", 400),
        ([("weight", "FP64", [1], [1.0])], "'weight'", 400),
        ([("matrix", "FP64", [1, 2], [1.0, 2.0])], "'matrix'", 400),
        ([("size", "FP64", [1], [1.0])] * 2, "twice", 400),
        ([], "no input", 400),
        ([("size", "FP64", [0], [])], "no row", 400),
        ([("size", "FP64", [6], [1.0] * 6)], "more than 5 rows", 413),
        ([("size", "FP64", [1, 2], [1.0] * 2)], "shape of input 'size'", 400),
        (
            [("size", "FP64", [2], [1.0] * 2), ("colour", "BYTES", [1], ["red"])],
            "shape of input 'colour'",
            400,
        ),
    ],
)
def test_misfits_are_refused(
    inputs: InputTensors, tensors: list[tuple[Any, ...]], named: str, status: int
) -> None:
    with pytest.raises(RequestError, match=named.replace("[", r"\[")) as raised:
        inputs.table([tensor_from_values(*each) for each in tensors])
    assert raised.value.status == status


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A model whose columns are all numeric."""
    raw = pa.table({"a": [1.5, 2.0, None, 4.25] * 5, "b": [0.5, 1.5, 2.5, 3.5] * 5})
    raw = raw.append_column("y", pa.array([1.0, 2.0, 3.0, 5.5] * 5))
    folder = tmp_path_factory.mktemp("bundles") / "numbers"
    return Predictor.load(untrained_bundle(folder, raw, target="y", task="regression"))


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_numeric_columns_may_come_as_a_matrix(numbers: Predictor, datatype: str) -> None:
    inputs = InputTensors(numbers.signature, max_rows=5)
    values = [[1.5, 2.0], [NAN, 3.25], [-1.0, NAN]]
    matrix = tensor_from_values(MATRIX, datatype, [3, 2], values)
    rows = numbers.table([{"a": 1.5, "b": 2.0}, {"b": 3.25}, {"a": -1.0}])
    expected = numbers.features(rows).numeric
    assert numbers.features(inputs.table([matrix])).numeric.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("datatype", "shape", "values", "named"),
    [
        ("INT64", [1, 2], [1, 2], "neither FP64 nor FP32"),
        ("FP64", [2], [1.0, 2.0], "shape of input 'matrix' is"),
        ("FP64", [1, 3], [1.0, 2.0, 3.0], "shape of input 'matrix' is"),
        ("FP64", [1, 2], [1.0, math.inf], "row 0, input 'b'"),
        ("FP64", [0, 2], [], "no row"),
    ],
)
def test_a_matrix_that_does_not_fit_is_refused(
    numbers: Predictor, datatype: str, shape: list[int], values: list[Any], named: str
) -> None:
    inputs = InputTensors(numbers.signature, max_rows=5)
    with pytest.raises(RequestError, match=named):
        inputs.table([tensor_from_values(MATRIX, datatype, shape, values)])


def answered(predictor: Predictor, *, ensemble: bool) -> None:
    """Outputs are, number for number, what `/predict` answers."""
    table = InputTensors(predictor.signature, max_rows=5).table(tensors_of(ROWS, shape=[4]))
    outputs = OutputTensors(predictor.signature.target, ensemble=ensemble)
    answers = predictor.predict(table)
    tensors = outputs.tensors(predictor.estimate(predictor.features(table)), outputs.names)
    assert list(outputs.names) == [each.name for each in tensors]
    for tensor, described in zip(tensors, outputs.metadata(), strict=True):
        assert described["name"] == tensor.name
        assert described["datatype"] == tensor.datatype
        assert described["shape"][1:] == list(tensor.shape[1:])
        values = [answer[tensor.name] for answer in answers]
        if tensor.name == "label":
            values = [class_key(value) for value in values]
        if tensor.name == "probabilities":
            values = [p for each in values for p in each.values()]
        assert tensor.to_list() == values
        assert len(values) == math.prod(tensor.shape)


def test_outputs_are_those_of_predict(predictor: Predictor) -> None:
    answered(predictor, ensemble=False)


def test_outputs_of_an_ensemble_have_its_spread(ensemble: Predictor) -> None:
    answered(ensemble, ensemble=True)


def test_outputs_may_be_chosen(boxes: Predictor) -> None:
    outputs = OutputTensors(boxes.signature.target, ensemble=False)
    assert outputs.requested([]) == ("label", "probability", "probabilities")
    assert outputs.requested(["probability"]) == ("probability",)
    for names in (["spread"], ["label", "label"]):
        with pytest.raises(RequestError, match=r"unknown output|an output twice"):
            outputs.requested(names)


def test_what_is_no_number_is_no_output(numbers: Predictor) -> None:
    outputs = OutputTensors(numbers.signature.target, ensemble=False)
    import torch

    with pytest.raises(ServeError, match="finite"):
        outputs.tensors(Estimate(torch.tensor([NAN])), outputs.names)


def test_the_metadata_names_what_goes_in_and_out(boxes: Predictor, numbers: Predictor) -> None:
    def described(predictor: Predictor) -> dict[str, Any]:
        return model_metadata(
            "boxes",
            ["3"],
            InputTensors(predictor.signature, max_rows=5),
            OutputTensors(predictor.signature.target, ensemble=False),
        )

    mixed = described(boxes)
    assert (mixed["name"], mixed["versions"]) == ("boxes", ["3"])
    assert {each["name"]: each["datatype"] for each in mixed["inputs"]} == {
        "size": "FP64",
        "count of parts": "FP64",
        "colour": "BYTES",
        "new": "BOOL",
        "seen": "BYTES",
    }
    assert json.loads(mixed["properties"]["classes"]) == list(boxes.signature.target.classes)
    assert "matrix" not in mixed["properties"]
    plain = described(numbers)
    assert list(plain["properties"]) == ["matrix", "warnings"]
    assert plain["outputs"] == [{"name": "value", "datatype": "FP64", "shape": [-1]}]
