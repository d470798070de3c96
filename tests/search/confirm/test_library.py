"""What models of a library predict is read where their training kept it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rayml.data.split.folds import deal_by_hash
from rayml.search.cohort.plan import SweepData
from rayml.search.cohort.worker import HELD_OUT, read_held_out, write_held_out, write_weights
from rayml.search.confirm import library
from rayml.search.confirm.library import LibraryModel, predict_all
from rayml.train.build import build_loop
from rayml.train.loop.results import BestEpoch
from tests.train.conftest import BINARY, SHAPE, make_examples

CONFIG: dict[str, Any] = {
    "model": {"_target_": "rayml.models.trees.lightgbm.LightGBM", "num_leaves": 4},
    "task": {"name": "binary", "metric": None, "metrics": {}},
    "train": {"epochs": 4, "patience": 2, "seed": 0},
}
ROWS, HELD = make_examples(300, seed=1), make_examples(120, seed=2)


def trained(folder: Path, *, folds: bool) -> tuple[LibraryModel, SweepData]:
    pytest.importorskip("lightgbm")
    keys = np.random.default_rng(0).permutation(len(ROWS)).astype(np.uint64)
    dealt = deal_by_hash(np.zeros(len(ROWS), np.uint64), keys, 3, divide=True) if folds else None
    data = SweepData(ROWS, HELD, SHAPE, BINARY, folds=dealt)
    loop = build_loop(CONFIG, train=ROWS, validation=HELD, shape=SHAPE, target=BINARY, folds=dealt)
    while not loop.finished:
        loop.run_epoch()
    write_weights(loop.best_weights(), folder / "trials" / "0")
    write_held_out(loop.held_out(), folder / "trials" / "0")
    return LibraryModel(0, {}, CONFIG, 0, BestEpoch(1, 0.5, {}), as_trained=True), data


@pytest.mark.parametrize("folds", [False, True])
def test_what_was_kept_is_what_the_models_predict(tmp_path: Path, *, folds: bool) -> None:
    model, data = trained(tmp_path, folds=folds)
    kept = predict_all([model], tmp_path, data)
    (tmp_path / "trials" / "0" / HELD_OUT).unlink()
    anew = predict_all([model], tmp_path, data)
    torch.testing.assert_close(kept.predictions, anew.predictions, rtol=0, atol=1e-6)
    assert len(kept.truth) == len(ROWS if folds else HELD)
    assert all(each > 0 for each in (*kept.latencies, *anew.latencies))


def test_what_was_kept_is_not_predicted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = trained(tmp_path, folds=True)

    def never(*_: object) -> object:
        raise AssertionError("the rows are predicted again")

    monkeypatch.setattr(library, "outputs_by_fold", never)
    predict_all([model], tmp_path, data)
    with pytest.raises(AssertionError, match="predicted again"):
        predict_all([LibraryModel(0, {}, CONFIG, 0, model.own)], tmp_path, data)


@pytest.mark.parametrize("content", [b"", b"torn"])
def test_what_is_torn_or_of_other_rows_is_predicted_anew(tmp_path: Path, content: bytes) -> None:
    model, data = trained(tmp_path, folds=True)
    wanted = predict_all([model], tmp_path, data).predictions
    (tmp_path / "trials" / "0" / HELD_OUT).write_bytes(content)
    assert read_held_out(tmp_path / "trials" / "0") is None
    torch.testing.assert_close(predict_all([model], tmp_path, data).predictions, wanted)
    write_held_out(torch.zeros(7, 1), tmp_path / "trials" / "0")
    torch.testing.assert_close(predict_all([model], tmp_path, data).predictions, wanted)


def test_many_rows_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = trained(tmp_path, folds=True)
    monkeypatch.setattr(library, "_MOST_ROWS", 50)
    kept = predict_all([model], tmp_path, data)
    (tmp_path / "trials" / "0" / HELD_OUT).unlink()
    anew = predict_all([model], tmp_path, data)
    assert len(kept.truth) == 50
    assert torch.equal(kept.truth, anew.truth)
    torch.testing.assert_close(kept.predictions, anew.predictions, rtol=0, atol=1e-6)


def test_too_many_outputs_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rayml.search.cohort.worker._MOST_OUTPUTS", 5)
    write_held_out(torch.zeros(6, 1), tmp_path)
    write_held_out(None, tmp_path)
    assert read_held_out(tmp_path) is None
