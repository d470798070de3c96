"""What fails in a replica is seen: on the terminal, in a file, in Ray's folder of logs."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from rayml.registry.store import CHAMPION, Registry
from rayml.testing.bundles import untrained_bundle
from tests.e2e.command import Rayml, environment
from tests.processes import kill, wait_until

MODEL = """
import torch

class Raises(torch.nn.Module):
    def __init__(self, shape, outputs):
        super().__init__()
        self.layer = torch.nn.Linear(shape.numeric, outputs)

    def forward(self, numeric, categorical):
        if numeric.numel() and numeric.abs().max() > 20:
            print("the model is about to fail")
            raise RuntimeError("a feature is too large")
        return self.layer(numeric)
"""
ROWS = pa.table({"size": [1.0, 2.0, 3.0, 4.0] * 5, "label": ["low", "high", "high", "low"] * 5})
BAD = "req-that-fails-7"


class Serving:
    """`rayml serve` in a process of its own."""

    def __init__(self, home: Path, temporary: Path, *arguments: str) -> None:
        self.out, self.err = home / "stdout", home / "stderr"
        self.temporary = temporary
        command = [sys.executable, "-m", "rayml", "serve", "name=boxes", "serve=one", *arguments]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [*command, "--config-dir", "conf"],
                cwd=home,
                env={**environment(home), "RAY_TMPDIR": str(temporary)},
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def url(self) -> str:
        """Where it answers; waits until it does."""
        found: list[str] = []

        def answers() -> bool:
            assert self.process.poll() is None, self.err.read_text()
            found[:] = re.findall(r"answers at (http://\S+)/predict", self.out.read_text())
            return bool(found)

        wait_until(answers, "the endpoint answers")
        return found[0]

    def rays_logs(self) -> str:
        """All that Serve wrote of replicas in Ray's folder of logs."""
        logs = self.temporary.glob("ray/session_2*/logs/serve/replica_*.log")
        return "".join(path.read_text() for path in logs)

    def end(self) -> None:
        """End it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0, self.err.read_text()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry whose champion raises on large numbers."""
    for folder in ("shopfloor", "conf"):
        (tmp_path / folder).mkdir()
    (tmp_path / "shopfloor/__init__.py").write_text("")
    (tmp_path / "shopfloor/nets.py").write_text(MODEL)
    monkeypatch.syspath_prepend(str(tmp_path))
    model = {"_target_": "shopfloor.nets.Raises"}
    bundle = untrained_bundle(
        tmp_path / "bundle", ROWS, target="label", task="binary", name="boxes", model=model
    )
    registry = Registry(tmp_path / "runs/registry")
    registry.move_alias("boxes", CHAMPION, registry.register(bundle), expected=None)
    return tmp_path


@contextmanager
def serving(home: Path, *arguments: str) -> Iterator[Serving]:
    temporary = Path(tempfile.mkdtemp(prefix="rayml-logs-"))
    running = Serving(home, temporary, *arguments)
    try:
        yield running
    finally:
        kill([running.process.pid] if running.process.poll() is None else [])
        running.process.wait()
        shutil.rmtree(temporary, ignore_errors=True)


def records(text: str) -> list[dict[str, Any]]:
    """The lines that are JSON."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_a_failure_is_seen_in_three_places_and_a_lost_registry_is_told(
    home: Path, rayml: Rayml
) -> None:
    with serving(home, "serve.access_log=stdout", "serve.log.format=json") as running:
        with httpx.Client(base_url=running.url, timeout=60) as client:
            good, bad = {"x-request-id": "req-fine"}, {"x-request-id": BAD}
            assert client.post("/predict", json={"size": 2.0}, headers=good).status_code == 200
            failed = client.post("/predict", json={"size": 1e6}, headers=bad)
            assert failed.status_code == 500
            assert failed.headers["x-request-id"] == BAD
            _is_seen(home, running)
            _registry_is_lost(home, running, client, rayml)
        running.end()
    answered = {line["id"]: line["status"] for line in records(running.out.read_text())}
    assert {"req-fine": 200, BAD: 500}.items() <= answered.items()
    # Nothing of Ray's own stands between.
    assert [line for line in running.err.read_text().splitlines() if line[:1] != "{"] == []
    assert not (home / "runs/endpoints/boxes/replicas").exists() or not list(
        (home / "runs/endpoints/boxes/replicas").iterdir()
    )


def _is_seen(home: Path, running: Serving) -> None:
    wait_until(lambda: BAD in running.err.read_text(), "the failure is on the terminal")
    wait_until(lambda: BAD in running.out.read_text(), "the answer is in the access log")
    (shown,) = [each for each in records(running.err.read_text()) if each.get("request") == BAD]
    assert shown["level"] == "error"
    assert "RuntimeError: a feature is too large" in shown["exception"]
    assert "the model is about to fail" in running.err.read_text()
    (file,) = (home / "runs/endpoints/boxes").glob("replicas-0.log")
    assert shown in records(file.read_text())
    assert f"request {BAD} failed" in running.rays_logs()
    assert "RuntimeError: a feature is too large" in running.rays_logs()


def _registry_is_lost(home: Path, running: Serving, client: httpx.Client, rayml: Rayml) -> None:
    gone = home / "runs/registry"
    shutil.rmtree(gone)
    wait_until(lambda: f"{gone}/boxes is gone" in running.err.read_text(), "the log says so")
    status = rayml(home, "release", "status", "name=boxes").stdout
    assert "1 replicas still serve version 1" in status
    assert f"{gone}/boxes is gone" in re.sub(r"\s*\n\s*", " ", status)
    assert client.post("/predict", json={"size": 2.0}).status_code == 200
    labelled = client.post("/feedback", json={"rows": [{"size": 2.0}], "labels": ["low"]})
    assert labelled.status_code == 503
    assert not gone.exists()
    told = [each for each in records(running.err.read_text()) if "is gone" in each["message"]]
    assert len(told) == 1
