"""Which trackers a config starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rayml.errors import ConfigError
from rayml.search.tracking import tracker
from rayml.search.tracking.tracker import check_tracking, start_trackers
from rayml.settings.search import TrackingSettings


def test_none_unless_it_is_asked_for(tmp_path: Path) -> None:
    assert start_trackers(TrackingSettings(), "s", tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_tensorboard(tmp_path: Path) -> None:
    [found] = start_trackers(TrackingSettings(tensorboard=True), "s", tmp_path)
    assert found.name == "TensorBoard"


def test_an_absent_mlflow_is_told_before_anything_is_spent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracker, "find_spec", lambda name: None)
    check_tracking(TrackingSettings(tensorboard=True))
    with pytest.raises(ConfigError, match=r"rayml\[mlflow\]") as told:
        check_tracking(TrackingSettings(mlflow="postgresql://me:hunter2@host/db"))
    assert "hunter2" not in str(told.value)


def test_nothing_heavy_is_imported_unless_it_is_asked_for() -> None:
    code = (
        "import sys, rayml.search.tracking.recording;"
        "print([name for name in ('torch', 'tensorboardX', 'mlflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
