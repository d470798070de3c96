from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from rayml.testing.bundles import untrained_bundle


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that no test may touch."""
    table = pa.table(
        {
            "size": [1.0, 2.5, None, 4.0] * 5,
            "colour": ["red", "blue", "red", None] * 5,
            "label": ["low", "high", "high", "low"] * 5,
        }
    )
    folder = tmp_path_factory.mktemp("bundles") / "pristine"
    return untrained_bundle(folder, table, target="label", task="binary", name="boxes")


@pytest.fixture
def bundle(pristine: Path, tmp_path: Path) -> Path:
    """A copy of that bundle to do with as one likes."""
    copy = tmp_path / "bundle"
    shutil.copytree(pristine, copy)
    return copy


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """Writes a bundle of a name with a metric."""

    def make(name: str, accuracy: float = 0.5, ensemble: int | None = None) -> Path:
        table = pa.table({"x": [0.0, 1.0, 2.0], "y": ["a", "b", "a"]})
        folder = tmp_path / f"{name}-{accuracy}"
        return untrained_bundle(
            folder,
            table,
            target="y",
            task="binary",
            name=name,
            accuracy=accuracy,
            ensemble=ensemble,
        )

    return make
