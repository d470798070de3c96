"""With `serve.batch_invariant` an answer has the same bits, whatever rows came with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from rayml.serve.model.served import ServedModel
from rayml.serve.predict.answer import Estimate
from rayml.serve.predict.predictor import Predictor
from rayml.serve.tensors.tensors import tensor_from_values
from rayml.settings.serve import ServeSettings
from rayml.testing.bundles import untrained_bundle
from rayml.types import Features, TaskName

ROWS = 140
RNG = np.random.default_rng(0)
TABLE = pa.table(
    {
        **{f"x{place}": RNG.standard_normal(ROWS) * 3 for place in range(9)},
        "colour": RNG.choice(["red", "green", "blue"], ROWS),
        "label": RNG.choice(["no", "yes"], ROWS),
        "grade": RNG.choice(["a", "b", "c"], ROWS),
        "price": RNG.standard_normal(ROWS),
    }
)
TARGETS: dict[TaskName, str] = {"binary": "label", "multiclass": "grade", "regression": "price"}
MLP = {"_target_": "rayml.models.nets.mlp.MLP"}
RESNET = {"_target_": "rayml.models.nets.resnet.TabularResNet", "width": 32}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def loaded(folder: Path, task: TaskName, model: dict[str, Any], members: int | None) -> Predictor:
    names = [name for name in TABLE.column_names if name not in TARGETS.values()]
    inputs = TABLE.select([*names, TARGETS[task]])
    untrained_bundle(
        folder / "b", inputs, target=TARGETS[task], task=task, model=model, ensemble=members
    )
    return Predictor.load(folder / "b", batch_invariant=True)


def bits(estimate: Estimate) -> list[bytes]:
    """Those of each row's prediction and spread."""
    spread = estimate.spread
    return [
        estimate.prediction[row].numpy().tobytes()
        + (b"" if spread is None else spread[row].numpy().tobytes())
        for row in range(len(estimate.prediction))
    ]


def taken(features: Features, rows: np.ndarray) -> Features:
    return Features(features.numeric[rows], features.categorical[rows])


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize(
    ("model", "members"),
    [(MLP, None), (RESNET, None), (MLP, 3), (RESNET, 2), (MLP, 12)],
)
def test_answers_have_the_same_bits_in_batches_of_all_sizes(
    tmp_path: Path, task: TaskName, model: dict[str, Any], members: int | None
) -> None:
    predictor = loaded(tmp_path, task, model, members)
    features = predictor.features(TABLE)
    alone = [bits(predictor.estimate(taken(features, np.array([row]))))[0] for row in range(ROWS)]
    rng = np.random.default_rng(1)
    for size in range(1, ROWS + 1):
        rows = rng.integers(ROWS, size=size)
        assert bits(predictor.estimate(taken(features, rows))) == [alone[row] for row in rows]


def test_answers_stay_close_to_those_without_it(tmp_path: Path) -> None:
    exact = loaded(tmp_path, "multiclass", MLP, 3)
    usual = Predictor.load(tmp_path / "b")
    features = usual.features(TABLE)
    found, wanted = exact.estimate(features), usual.estimate(features)
    assert torch.allclose(found.prediction, wanted.prediction, atol=1e-6)
    assert found.spread is not None
    assert wanted.spread is not None
    assert torch.allclose(found.spread, wanted.spread, atol=1e-6)


def test_all_ways_to_ask_give_the_same_bits(tmp_path: Path) -> None:
    predictor = loaded(tmp_path, "binary", MLP, None)
    model = ServedModel(
        predictor, version="1", settings=ServeSettings(batch_invariant=True, max_rows=ROWS)
    )
    names = predictor.preprocessor.numeric
    together = predictor.predict(TABLE)
    rows = TABLE.select([column.name for column in predictor.signature.inputs]).to_pylist()
    assert [predictor.predict_rows([row])[0] for row in rows] == together
    assert predictor.predict_rows(rows) == together
    tensors = [tensor_from_values(name, "FP64", [7], TABLE[name].to_pylist()[:7]) for name in names]
    colour = tensor_from_values("colour", "BYTES", [7], TABLE["colour"].to_pylist()[:7])
    (probability,) = model.tensors.infer_now([*tensors, colour], ["probability"])
    assert probability.to_list() == [answer["probability"] for answer in together[:7]]
    model.close()


def test_the_watcher_sees_what_is_answered(tmp_path: Path) -> None:
    predictor = loaded(tmp_path, "regression", MLP, 3)
    seen: list[torch.Tensor] = []
    predictor.watcher = seen.append
    found = predictor.estimate(predictor.features(TABLE))
    assert torch.equal(torch.cat(seen), found.prediction)
