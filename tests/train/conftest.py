"""A small learnable table and a trial's config."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rayml.types import Examples, Features, FeatureShape, TargetInfo

SHAPE = FeatureShape(numeric=3, cardinalities=(4, 5))
BINARY = TargetInfo("y", "binary", ("no", "yes"))


def make_examples(rows: int, seed: int = 0) -> Examples:
    """Rows whose class follows from the first number and the first category, mostly."""
    draw = np.random.default_rng(seed)
    numeric = draw.normal(size=(rows, SHAPE.numeric)).astype(np.float32)
    categorical = np.stack([draw.integers(0, size, rows) for size in SHAPE.cardinalities], axis=1)
    score = numeric[:, 0] + (categorical[:, 0] - 1.5) + draw.normal(scale=0.3, size=rows)
    return Examples(Features(numeric, categorical.astype(np.int64)), (score > 0).astype(np.int64))


@pytest.fixture
def shape() -> FeatureShape:
    return SHAPE


@pytest.fixture
def target() -> TargetInfo:
    return BINARY


@pytest.fixture(scope="session")
def train() -> Examples:
    return make_examples(500, seed=1)


@pytest.fixture(scope="session")
def validation() -> Examples:
    return make_examples(200, seed=2)


@pytest.fixture
def config() -> dict[str, Any]:
    return {
        "model": {"_target_": "rayml.models.nets.mlp.MLP", "width": 16, "depth": 2, "dropout": 0.2},
        "task": {"name": "binary", "metric": None, "metrics": {}},
        "train": {
            "epochs": 4,
            "batch_size": 64,
            "optimizer": {"name": "adamw", "lr": 0.01},
            "schedule": {"name": "cosine", "warmup": 0.1},
            "seed": 7,
        },
    }
