from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from rayml.registry.store import Registry
from rayml.serve.ingress.ingress import environment
from rayml.serve.ingress.ports import Ports
from rayml.serve.predict.predictor import Predictor
from rayml.serve.release.follower import Follower
from rayml.testing.bundles import untrained_bundle
from rayml.types import TaskName
from tests.serve.following import following, released, three_bundles

TIMES = [datetime(2024, month, 3, 4, 5, 6, 789, tzinfo=UTC) for month in range(1, 7)]


@pytest.fixture(scope="session")
def table() -> pa.Table:
    """Rows of every kind, with missing values."""
    return pa.table(
        {
            "size": [1.0, 2.5, None, 4.0, -0.25, 1e-3] * 10,
            "count of parts": pa.array([3, 1, 4, 1, 5, 9] * 10, pa.float64()),
            "colour": ["red", "blue", "red", None, "green", "red"] * 10,
            "new": [True, False, None, True, False, True] * 10,
            "seen": pa.array([*TIMES[:5], None] * 10, pa.timestamp("us", tz="UTC")),
            "label": ["low", "high", "high", "low", "low", "high"] * 10,
            "price": [1.0, 2.0, 3.0, 4.0, 5.0, 7.0] * 10,
            "grade": ["a", "b", "c", "a", "b", "c"] * 10,
        }
    )


TARGETS = {"binary": "label", "multiclass": "grade", "regression": "price"}


def make_predictor(
    factory: pytest.TempPathFactory, table: pa.Table, task: TaskName, ensemble: int | None
) -> Predictor:
    folder = factory.mktemp("bundles") / task
    inputs = table.select([*table.column_names[:5], TARGETS[task]])
    untrained_bundle(folder, inputs, target=TARGETS[task], task=task, ensemble=ensemble)
    return Predictor.load(folder)


@pytest.fixture(scope="session", params=TARGETS)
def predictor(
    request: pytest.FixtureRequest, table: pa.Table, tmp_path_factory: pytest.TempPathFactory
) -> Predictor:
    """A predictor of each task."""
    return make_predictor(tmp_path_factory, table, request.param, None)


@pytest.fixture(scope="session", params=TARGETS)
def ensemble(
    request: pytest.FixtureRequest, table: pa.Table, tmp_path_factory: pytest.TempPathFactory
) -> Predictor:
    """A predictor of each task with three models."""
    return make_predictor(tmp_path_factory, table, request.param, 3)


@pytest.fixture(scope="session")
def binary_bundle(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "boxes"
    inputs = table.select([*table.column_names[:5], "label"])
    return untrained_bundle(folder, inputs, target="label", task="binary", name="boxes")


@pytest.fixture(scope="session")
def three_versions(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Bundles of one model whose predictions differ."""
    return three_bundles(table, tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def registry(tmp_path: Path, three_versions: list[Path]) -> Registry:
    """A registry of them whose champion is the first."""
    return released(tmp_path / "registry", three_versions)


@pytest.fixture
def follower(registry: Registry) -> Iterator[Follower]:
    """A replica that follows its release."""
    with following(registry) as follower:
        yield follower


@pytest.fixture
def wrapped(monkeypatch: pytest.MonkeyPatch, ports: Ports) -> None:
    """Serve runs HAProxy as an endpoint has it run."""
    variables = environment("haproxy", host="127.0.0.1", arrival_s=5, ports=ports)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    binary = variables["RAY_SERVE_HAPROXY_BINARY_PATH"]
    monkeypatch.setattr("ray.serve._private.haproxy.get_haproxy_binary", lambda: binary)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("a file system can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
