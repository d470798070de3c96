"""The record of a confirmation survives its file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from rayml.errors import SearchError
from rayml.search.results.confirmation import (
    Confirmation,
    ConfirmedTrial,
    FailedTrial,
    forget_confirmation,
    read_confirmation,
    record_test,
    write_confirmation,
)

TRIAL = ConfirmedTrial(
    number=4,
    params={"model.width": 16, "train.optimizer.lr": 0.1, "model.name": "x"},
    parameters=120,
    steps=60,
    seconds=0.1 + 0.2,
    values=(0.5, 1 / 3),
    mean=0.4,
    low=1 / 3,
    high=0.5,
)
RECORD = Confirmation(
    metric="accuracy",
    direction="maximize",
    winner=4,
    reason="it has the best mean",
    seeds=(1, 2),
    candidates=(dataclasses.replace(TRIAL, number=2), TRIAL),
    failed=(FailedTrial(number=5, params={}, reason="ValueError: no"),),
    seed=1,
)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_confirmation(tmp_path) is None
    write_confirmation(tmp_path, RECORD)
    assert read_confirmation(tmp_path) == RECORD
    assert [path.name for path in tmp_path.iterdir()] == ["confirm.json"]
    forget_confirmation(tmp_path)
    forget_confirmation(tmp_path)
    assert read_confirmation(tmp_path) is None


def test_its_keys(tmp_path: Path) -> None:
    write_confirmation(tmp_path, dataclasses.replace(RECORD, ensemble=(2, 1)))
    saved = json.loads((tmp_path / "confirm.json").read_text())
    assert saved["ensemble"] == [2, 1]
    assert saved["test"] is None
    assert {"metric", "direction", "winner", "reason", "seeds", "candidates"} <= set(saved)
    assert set(saved["candidates"][0]) >= {
        "number",
        "params",
        "parameters",
        "values",
        "mean",
        "low",
        "high",
    }


def test_its_winner_and_the_models_that_are_served() -> None:
    assert RECORD.chosen is RECORD.candidates[1]
    assert RECORD.members == (1,)
    assert dataclasses.replace(RECORD, ensemble=(2, 1)).members == (2, 1)


def test_what_the_test_split_told(tmp_path: Path) -> None:
    record_test(tmp_path, RECORD, {"accuracy": 0.75, "auroc": float("nan")})
    read = read_confirmation(tmp_path)
    assert read is not None
    assert read.test == {"accuracy": 0.75, "auroc": None}
    assert dataclasses.replace(read, test=None) == RECORD


@pytest.mark.parametrize("text", ["", "{", "{}", '{"winner": "4"}'])
def test_one_that_cannot_be_read_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "confirm.json").write_text(text)
    with pytest.raises(SearchError, match="rayml confirm"):
        read_confirmation(tmp_path)
