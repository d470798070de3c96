"""A bundle, and requests to it, of the size of the Adult census: 8 categories and 6 numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rayml.serve.predict.predictor import Predictor
from rayml.serve.tensors.tensors import Tensor, tensor_from_values
from rayml.testing.bundles import untrained_bundle

# Numbers of categories and the length of their names, as those of Adult.
_CARDINALITIES = (9, 16, 7, 15, 6, 5, 2, 42)
_NAME = "category-{}-of-{}"
_NUMBERS = 6


def make_table(rows: int, seed: int = 0) -> pa.Table:
    """Rows of that size, with missing values, and a target."""
    generator = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for number in range(_NUMBERS):
        columns[f"number {number}"] = generator.normal(size=rows).round(3)
    for place, count in enumerate(_CARDINALITIES):
        names = pa.array([_NAME.format(code, place)[: 8 + code % 9] for code in range(count)])
        codes = generator.integers(0, count, rows)
        missing = generator.random(rows) < (0.05 if place < 2 else 0)
        columns[f"category {place}"] = names.take(pa.array(codes, mask=missing))
    columns["income"] = pa.array(["low", "high"]).take(pa.array(generator.integers(0, 2, rows)))
    return pa.table(columns)


def write_bundle(folder: Path) -> Predictor:
    """Write a bundle of an MLP of 2 layers of 64 units into a folder."""
    model = {"_target_": "rayml.models.nets.mlp.MLP", "width": 64, "depth": 2}
    untrained_bundle(folder, make_table(20_000), target="income", task="binary", model=model)
    return Predictor.load(folder)


def tensors_of(table: pa.Table) -> list[Tensor]:
    """The feature columns as tensors."""
    rows = table.num_rows
    tensors = []
    for name in table.column_names:
        values = table.column(name).to_pylist()
        if name.startswith("number"):
            tensors.append(tensor_from_values(name, "FP64", [rows], values))
        elif name.startswith("category"):
            tensors.append(tensor_from_values(name, "BYTES", [rows], values))
    return tensors


def binary_request(tensors: list[Tensor]) -> tuple[bytes, int]:
    """A request of binary tensors that asks for binary ones, and the length of its JSON."""
    from pydantic_core import to_json

    raws = [tensor.to_bytes() for tensor in tensors]
    inputs = [
        {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": tensor.shape,
            "parameters": {"binary_data_size": len(raw)},
        }
        for tensor, raw in zip(tensors, raws, strict=True)
    ]
    head = to_json({"inputs": inputs, "parameters": {"binary_data_output": True}})
    return b"".join([head, *raws]), len(head)
