"""Clients of the Open Inference Protocol, unchanged, against a real endpoint.

Their dependencies clash with the package's own, so they have an environment, which `make test`
makes from requirements-clients.lock.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rayml.serve.endpoint import start
from rayml.serve.predict.predictor import Predictor
from rayml.settings.serve import ReplicaSettings, ServeSettings

PYTHON = Path(__file__).parents[2] / ".venv-clients" / "bin" / "python"
SCRIPT = Path(__file__).parent / "clients" / "rest.py"

pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="the clients' environment is absent: make .venv-clients/.ready"
)


@pytest.fixture(scope="module")
def seen(bundle: Path, ray_session: None) -> Iterator[dict[str, Any]]:
    """What the clients saw."""
    settings = ServeSettings(port=0, replicas=ReplicaSettings(min=1, max=1, cpu=0.5))
    endpoint = start(bundle, version="7", settings=settings)
    try:
        run = subprocess.run(
            [PYTHON, SCRIPT, endpoint.url], capture_output=True, text=True, timeout=120, check=False
        )
        assert run.returncode == 0, run.stderr
        yield json.loads(run.stdout.splitlines()[-1])
    finally:
        endpoint.stop()


def own(bundle: Path, sizes: list[float | None]) -> list[dict[str, Any]]:
    colours = ["red", None, "violet"]
    rows = [{"size": s, "colour": c} for s, c in zip(sizes, colours, strict=True)]
    return Predictor.load(bundle).predict_rows(rows) * 100


def test_triton_is_told_what_is_served(seen: dict[str, Any]) -> None:
    triton = seen["triton"]
    assert (triton["live"], triton["ready"], triton["model ready"]) == (True, True, True)
    assert triton["other ready"] is False
    assert triton["server"] == ["binary_tensor_data"]
    assert triton["model"] == ["7"]


def test_triton_is_answered_in_every_form(seen: dict[str, Any], bundle: Path) -> None:
    answers = own(bundle, [1.5, None, -2.0])
    assert len(seen["triton"]["answers"]) == 12
    for probabilities, labels in seen["triton"]["answers"].values():
        assert labels == [answer["label"] for answer in answers]
        assert probabilities == pytest.approx(
            [answer["probability"] for answer in answers], abs=1e-6
        )


def test_triton_is_told_its_mistake(seen: dict[str, Any]) -> None:
    status, message = seen["triton"]["error"]
    assert status == "400"
    assert "'spread'" in message


def test_kserve_is_answered(seen: dict[str, Any], bundle: Path) -> None:
    kserve = seen["kserve"]
    assert (kserve["live"], kserve["ready"], kserve["model ready"]) == (True, True, True)
    expected = [answer["probability"] for answer in own(bundle, [1.5, 0.0, -2.0])]
    assert len(kserve["answers"]) == 2
    for probabilities in kserve["answers"].values():
        assert probabilities == pytest.approx(expected, abs=1e-6)
