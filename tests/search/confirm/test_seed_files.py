"""A seed's result is read as it was written, whole, and of the same config, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rayml.errors import CheckpointError
from rayml.search.confirm.seed_files import SeedFiles
from rayml.train.build import apply
from rayml.train.loop.results import BestEpoch
from rayml.train.seed_results import SEED, SeedResult

RESULT = SeedResult(
    seed=12,
    best=BestEpoch(3, 0.75, {"accuracy": 0.75, "auroc": float("inf")}),
    weights={"layer.weight": torch.rand(3, 2), "count": torch.tensor(4)},
    parameters=6,
    steps=90,
    seconds=0.1 + 0.2,
)


def test_a_result_is_read_as_it_was_written(tmp_path: Path, config: dict[str, Any]) -> None:
    files = SeedFiles(tmp_path, 4, config)
    assert files.find(12) is None
    files.save(RESULT)
    read = files.load(12)
    assert (read.seed, read.best, read.parameters, read.steps, read.seconds) == (
        RESULT.seed,
        RESULT.best,
        RESULT.parameters,
        RESULT.steps,
        RESULT.seconds,
    )
    assert all(torch.equal(read.weights[name], each) for name, each in RESULT.weights.items())
    assert {path.suffix for path in tmp_path.rglob("*.*")} == {".safetensors"}


def test_a_torn_file_counts_as_absent(tmp_path: Path, config: dict[str, Any]) -> None:
    files = SeedFiles(tmp_path, 4, config)
    files.save(RESULT)
    [file] = tmp_path.rglob("*.safetensors")
    whole = file.read_bytes()
    for torn in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        file.write_bytes(torn)
        assert files.find(12) is None


def test_so_does_that_of_another_config(tmp_path: Path, config: dict[str, Any]) -> None:
    SeedFiles(tmp_path, 4, config).save(RESULT)
    longer = SeedFiles(tmp_path, 4, apply(config, {"train.epochs": 99}))
    assert longer.find(12) is None
    with pytest.raises(CheckpointError, match="another config than its trial has"):
        longer.load(12)
    # The trial's own seed plays no part.
    assert SeedFiles(tmp_path, 4, apply(config, {SEED: 5})).find(12) is not None
