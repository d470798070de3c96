"""`rayml check` reports all errors of a config together, with exit code 2 and no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.command import Rayml


def test_a_sound_config(tmp_path: Path, rayml: Rayml) -> None:
    assert "the config is sound" in rayml(tmp_path, "check", "data=wine").stdout


def test_errors_of_composition_and_code_are_told_together(tmp_path: Path, rayml: Rayml) -> None:
    refused = rayml(
        tmp_path,
        "check",
        "train.epoch=3",
        "train.batch_size=many",
        "model._target_=no_such.Model",
        "+data.source.colour=red",
        "+space.model.wings={type: int, low: 1, high: 2}",
        code=2,
    )
    told = refused.stderr
    assert "train.epoch: unknown key; did you mean train.epochs" in told
    assert "train.batch_size" in told
    assert "no_such.Model" in told
    assert "colour" in told
    assert "space.model.wings" in told
    assert "Traceback" not in told


def test_errors_of_data_and_cluster_are_told_together(tmp_path: Path, rayml: Rayml) -> None:
    refused = rayml(
        tmp_path,
        "check",
        "data.target=price",
        "search.resources.cpu=4096",
        "serve.replicas.gpu=1",
        "task.metric=beauty",
        code=2,
    )
    told = refused.stderr
    assert "price" in told
    assert "search.resources.cpu: 4096 CPU is more than the cluster has" in told
    assert "serve.replicas.gpu: 1 GPU is more than the cluster has" in told
    assert "beauty" in told
    assert "Traceback" not in told


@pytest.mark.slow
def test_a_model_that_does_not_train_is_told(tmp_path: Path, rayml: Rayml) -> None:
    for group, text in {"model": "_target_: broken.Net", "space": "{}"}.items():
        (tmp_path / "conf" / group).mkdir(parents=True)
        (tmp_path / "conf" / group / "broken.yaml").write_text(text)
    (tmp_path / "broken.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, shape, outputs):\n"
        "        super().__init__()\n"
        "        self.layer = torch.nn.Linear(shape.numeric, outputs + 3)\n"
        "    def forward(self, numeric, categorical):\n"
        "        return self.layer(numeric)\n"
    )
    refused = rayml(
        tmp_path,
        "check",
        "model=broken",
        "--config-dir",
        "conf",
        code=2,
    )
    assert "the model returns shape" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.slow
def test_a_model_that_raises_is_told(tmp_path: Path, rayml: Rayml) -> None:
    (tmp_path / "broken.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Linear):\n"
        "    def __init__(self, shape, outputs, **_):\n"
        "        super().__init__(shape.numeric + 1, outputs)\n"
        "    def forward(self, numeric, categorical):\n"
        "        return super().forward(numeric)\n"
    )
    refused = rayml(tmp_path, "check", "model._target_=broken.Net", code=2)
    assert "or a metric fails on a batch (RuntimeError" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_bad_usage(tmp_path: Path, rayml: Rayml) -> None:
    assert "invalid choice" in rayml(tmp_path, "fly", code=2).stderr
    assert "takes no argument" in rayml(tmp_path, "check", "everything", code=2).stderr


def test_help_and_config_are_shown(tmp_path: Path, rayml: Rayml) -> None:
    assert "prepare" in rayml(tmp_path, "--help").stdout
    assert "breast_cancer" in rayml(tmp_path, "run", "--help").stdout
    shown = rayml(tmp_path, "run", "--cfg", "job", "train.epochs=7").stdout
    assert "epochs: 7" in shown
