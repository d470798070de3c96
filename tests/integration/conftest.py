"""A small bundle that the tests of endpoints serve."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from rayml.testing.bundles import untrained_bundle


@pytest.fixture(scope="session")
def boxes() -> pa.Table:
    """Rows with a missing number and a missing category."""
    return pa.table(
        {
            "size": [1.0, 2.5, None, 4.0] * 5,
            "colour": ["red", "blue", "red", None] * 5,
            "label": ["low", "high", "high", "low"] * 5,
        }
    )


@pytest.fixture(scope="session")
def bundle(boxes: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A binary model `boxes` of `size` and `colour`."""
    folder = tmp_path_factory.mktemp("bundles") / "boxes"
    return untrained_bundle(folder, boxes, target="label", task="binary", name="boxes")
