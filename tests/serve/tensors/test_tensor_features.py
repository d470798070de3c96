"""Features straight from tensors, beside those of the table of the same tensors."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayml.data.columns.kinds import ARROW_TYPES
from rayml.errors import RequestError
from rayml.serve.predict.predictor import Predictor
from rayml.serve.tensors import byte_codes
from rayml.serve.tensors.input_tensors import MATRIX, InputTensors
from rayml.serve.tensors.tensor_features import TensorFeatures
from rayml.serve.tensors.tensors import Tensor, tensor_from_bytes, tensor_from_values
from rayml.testing.bundles import untrained_bundle
from rayml.types import Features

ROWS = 20
NUMBERS = st.one_of(st.floats(width=32, allow_infinity=False), st.just(math.nan))
ANIMALS = [f"animal {number}" for number in range(30)]
COLUMNS: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "size": ("FP64", NUMBERS),
    "count": ("FP32", NUMBERS),
    "animal": ("BYTES", st.sampled_from([*ANIMALS, "", "animal", "plant"])),
    "empty": ("BYTES", st.sampled_from(["", "a", "animal 1", "b"])),
    "new": ("BOOL", st.booleans()),
    "old": ("FP32", st.sampled_from([0.0, 1.0, math.nan])),
    "seen": ("BYTES", st.sampled_from(["", "2024-05-17 08:30", "1969-12-31T23:59:59.5Z"])),
    "kind": ("BYTES", st.one_of(st.sampled_from(["ä", "ö" * 200]), st.text(max_size=3))),
}


def load(folder: Path, raw: pa.Table) -> Predictor:
    return Predictor.load(untrained_bundle(folder / "bundle", raw, target="y", task="binary"))


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A model with columns of every kind, each with missing values but `count` and `empty`."""
    generator = np.random.default_rng(0)
    flags = pa.array([True, False, None] * 40)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    seen = [start + timedelta(hours=7 * number) for number in range(119)]
    raw = pa.table(
        {
            "animal": [*ANIMALS, *ANIMALS, *ANIMALS, *ANIMALS[:29], None],
            "size": pa.array(generator.normal(size=120), mask=np.arange(120) % 7 == 0),
            "empty": ["", "a"] * 60,
            "new": flags,
            "seen": pa.array([*seen, None], ARROW_TYPES["timestamp"]),
            "count": generator.normal(size=120),
            "old": flags,
            "kind": ["ä", "ö" * 200, None] * 40,
            "y": ["n", "p", "p"] * 40,
        }
    )
    return load(tmp_path_factory.mktemp("farm"), raw)


def both(predictor: Predictor, tensors: list[Tensor]) -> tuple[Features, Features]:
    """Features straight from the tensors, and those of their table."""
    inputs = InputTensors(predictor.signature, max_rows=ROWS)
    found = TensorFeatures(inputs, predictor.signature, predictor.preprocessor)(tensors)
    return found, predictor.features(inputs.table(tensors))


def same(found: Features, wanted: Features) -> None:
    for one, other in (
        (found.numeric, wanted.numeric),
        (found.categorical, wanted.categorical),
    ):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.flags.c_contiguous
        assert one.tobytes() == other.tobytes()


@st.composite
def requests(draw: st.DrawFn) -> list[Tensor]:
    """Some of the columns in any order, as bytes or as values."""
    rows = draw(st.integers(1, ROWS))
    names = draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, unique=True))
    tensors = []
    for name in names:
        datatype, values = COLUMNS[name]
        drawn = draw(st.lists(values, min_size=rows, max_size=rows))
        tensor = tensor_from_values(name, datatype, [rows], drawn)
        if draw(st.booleans()):
            tensor = tensor_from_bytes(name, datatype, [rows], tensor.to_bytes())
        tensors.append(tensor)
    return tensors


@settings(deadline=None)
@given(tensors=requests())
def test_the_bits_are_those_of_the_table(farm: Predictor, tensors: list[Tensor]) -> None:
    same(*both(farm, tensors))


@settings(deadline=None, max_examples=20)
@given(tensors=requests())
def test_very_many_categories_are_read_column_by_column(
    farm: Predictor, tensors: list[Tensor]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(byte_codes, "_MOST_CATEGORIES", 10)
        same(*both(farm, tensors))


def test_known_and_unknown_categories_need_no_strings(
    farm: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError

    def tensor(name: str, values: list[str]) -> Tensor:
        raw = tensor_from_values(name, "BYTES", [3], values).to_bytes()
        return tensor_from_bytes(name, "BYTES", [3], raw)

    tensors = [
        tensor("empty", ["", "a", "b"]),
        tensor("animal", ["animal 3", "", "ä"]),
        tensor("kind", ["x" * 200, "ä", "a"]),
    ]
    inputs = InputTensors(farm.signature, max_rows=ROWS)
    wanted = farm.features(inputs.table(tensors)).categorical
    monkeypatch.setattr(Tensor, "elements", never)
    direct = TensorFeatures(inputs, farm.signature, farm.preprocessor)
    assert direct(tensors).categorical.tolist() == wanted.tolist()
    assert wanted.tolist()[0][1] != 0


@pytest.mark.parametrize(
    ("name", "datatype", "shape", "raw"),
    [
        ("animal", "BYTES", [1], b"\1\0\0\0\xff"),
        ("animal", "BYTES", [2], b"\1\0\0\0a"),
        ("animal", "BYTES", [1], b"\2\0\0\0a"),
        ("animal", "BYTES", [1], b"\1\0\0\0ab"),
        ("animal", "FP32", [1], np.array([0.5], np.float32).tobytes()),
        ("animal", "BOOL", [1], b"\1"),
        ("seen", "BYTES", [1], b"\4\0\0\0soon"),
        ("size", "BYTES", [1], b"\1\0\0\x001"),
        ("size", "FP64", [2], np.array([1, np.inf]).tobytes()),
        ("old", "FP64", [1], np.array([0.5]).tobytes()),
        ("weight", "FP64", [1], np.zeros(1).tobytes()),
        ("size", "FP64", [21], np.zeros(21).tobytes()),
    ],
)
def test_what_does_not_fit_is_refused_in_the_same_words(
    farm: Predictor, name: str, datatype: str, shape: list[int], raw: bytes
) -> None:
    inputs = InputTensors(farm.signature, max_rows=ROWS)
    tensors = [tensor_from_bytes(name, datatype, shape, raw)]
    with pytest.raises(RequestError) as wanted:
        inputs.table(tensors)
    with pytest.raises(RequestError) as found:
        TensorFeatures(inputs, farm.signature, farm.preprocessor)(tensors)
    assert str(found.value) == str(wanted.value)
    assert found.value.status == wanted.value.status


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_a_matrix_becomes_the_features_of_its_table(tmp_path: Path, datatype: str) -> None:
    raw = pa.table({"b": [1.5, 2.0, None, 4.25] * 5, "a": [0.5, 1.5, 2.5, 3.5] * 5})
    predictor = load(tmp_path, raw.append_column("y", pa.array(["n", "p"] * 10)))
    values = [[1.5, 2.0], [math.nan, 3.25], [-1.0, math.nan]]
    same(*both(predictor, [tensor_from_values(MATRIX, datatype, [3, 2], values)]))
