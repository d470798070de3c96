"""A bundle with a temperature: the same labels, other probabilities, and explanations of these."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from rayml.errors import BundleError
from rayml.registry.bundle.bundle import load_bundle
from rayml.registry.bundle.manifest import FORMAT_OF_TEMPERATURE, MANIFEST, write_manifest
from rayml.serve.predict.explainer import Explainer
from rayml.serve.predict.predictor import Predictor
from rayml.testing.bundles import untrained_bundle
from rayml.types import TaskName
from tests.serve.conftest import TARGETS

ROWS: list[dict[str, Any]] = [
    {"size": 1.5, "colour": "red", "new": True},
    {"size": -2.0, "colour": "blue"},
    {"size": 40.0, "colour": "green", "new": False},
]
CASES = [(task, members) for task in ("binary", "multiclass") for members in (None, 3)]


def pair(
    folder: Path, table: pa.Table, task: TaskName, ensemble: int | None, temperature: float
) -> list[Predictor]:
    """The same models without a temperature and with one."""
    inputs = table.select([*table.column_names[:5], TARGETS[task]])
    return [
        Predictor.load(
            untrained_bundle(
                folder / f"{each}",
                inputs,
                target=TARGETS[task],
                task=task,
                ensemble=ensemble,
                temperature=each,
            )
        )
        for each in (1.0, temperature)
    ]


@pytest.mark.parametrize(("task", "members"), CASES)
@pytest.mark.parametrize("temperature", [0.2, 4.0])
def test_labels_stay_and_probabilities_are_scaled(
    table: pa.Table, tmp_path: Path, task: TaskName, members: int | None, temperature: float
) -> None:
    plain, scaled = pair(tmp_path, table, task, members, temperature)
    before, after = plain.predict(plain.table(ROWS)), scaled.predict(scaled.table(ROWS))
    assert [each["label"] for each in after] == [each["label"] for each in before]
    for one, other in zip(before, after, strict=True):
        shares = {name: p ** (1 / temperature) for name, p in one["probabilities"].items()}
        total = sum(shares.values())
        expected = {name: share / total for name, share in shares.items()}
        assert other["probabilities"] == pytest.approx(expected, abs=1e-6)
        assert (other["probability"] > one["probability"]) is (temperature < 1)
    assert scaled.predict_rows(ROWS) == after


@pytest.mark.parametrize(("task", "members"), CASES)
@pytest.mark.parametrize("temperature", [0.2, 4.0])
def test_explanations_add_up_to_what_is_answered(
    table: pa.Table, tmp_path: Path, task: TaskName, members: int | None, temperature: float
) -> None:
    _, scaled = pair(tmp_path, table, task, members, temperature)
    explainer = Explainer(scaled, tolerance=1e-3, max_steps=4096)
    rows = scaled.table(ROWS)
    for label in (None, *scaled.signature.target.classes):
        found = explainer.explain(rows, label=label)
        for each, answer in zip(found, scaled.predict(rows), strict=True):
            name = str(each["label"])
            assert each["prediction"] == pytest.approx(answer["probabilities"][name], abs=1e-5)
            total = each["baseline"] + sum(each["attributions"].values()) + each["delta"]
            assert total == pytest.approx(each["prediction"], abs=1e-9)
            assert abs(each["delta"]) <= 1e-3
            assert each["converged"]
    base = scaled.predict(scaled.table([explainer.baseline()]))[0]
    assert found[0]["baseline"] == pytest.approx(base["probabilities"][name], abs=1e-5)


def test_members_spread_in_the_scale_of_the_answer(table: pa.Table, tmp_path: Path) -> None:
    plain, scaled = pair(tmp_path, table, "binary", 3, 0.2)
    features = scaled.features(scaled.table(ROWS))
    inputs = torch.from_numpy(features.numeric), torch.from_numpy(features.categorical)
    members = plain.task.predict(plain.members.forward(*inputs))
    expected = plain.task.tempered(members, 0.2).std(0)
    torch.testing.assert_close(scaled.estimate(features).spread, expected, atol=1e-6, rtol=1e-5)


def test_a_row_has_the_same_bits_in_every_batch(table: pa.Table, tmp_path: Path) -> None:
    _, made = pair(tmp_path, table, "multiclass", 3, 2.5)
    scaled = Predictor.load(made.bundle.folder, batch_invariant=True)
    together = scaled.predict_rows(ROWS * 30)
    assert [scaled.predict_rows([row])[0] for row in ROWS] == together[:3] == together[-3:]


def test_an_older_rayml_refuses_such_a_bundle_and_a_card_tells(
    table: pa.Table, tmp_path: Path
) -> None:
    plain, scaled = pair(tmp_path, table, "binary", None, 2.5)
    of = [json.loads((each.bundle.folder / MANIFEST).read_text()) for each in (plain, scaled)]
    assert of[1]["format"] == FORMAT_OF_TEMPERATURE > of[0]["format"]
    card = (scaled.bundle.folder / "MODEL_CARD.md").read_text()
    assert "divided by a temperature of 2.5" in card
    assert "temperature" not in (plain.bundle.folder / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize("odd", [0, -1, 1e9, None, "2"])
def test_an_odd_temperature_is_refused(table: pa.Table, tmp_path: Path, odd: Any) -> None:
    plain, _ = pair(tmp_path, table, "binary", None, 2.5)
    change(plain.bundle.folder, odd)
    if odd == "2":  # as for the other numbers of `bundle.json`
        assert load_bundle(plain.bundle.folder).info.temperature == 2
        return
    with pytest.raises(BundleError, match="temperature"):
        load_bundle(plain.bundle.folder)


def test_numbers_take_none(table: pa.Table, tmp_path: Path) -> None:
    inputs = table.select([*table.column_names[:5], "price"])
    folder = untrained_bundle(tmp_path / "b", inputs, target="price", task="regression")
    change(folder, 2.0)
    with pytest.raises(BundleError, match="'regression' take none"):
        Predictor.load(folder)


def change(folder: Path, temperature: object) -> None:
    path = folder / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"temperature": temperature}))
    write_manifest(folder)
