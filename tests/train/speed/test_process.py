"""A process that trains is set to what its trial needs, and loads no more than that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rayml.settings.train import TrainSettings
from rayml.train.speed.process import reset_process

TRAINING = """
import sys
import numpy as np
import rayml.search.cohort.cohort
from rayml.models.nets.mlp import MLP
from rayml.tasks.table import build_task
from rayml.train.loop.batches import ArrayBatches
from rayml.train.lanes.lane import NewLane
from rayml.train.speed.probe import measure_lanes, why_not_stacked
from rayml.train.speed.process import reset_process
from rayml.types import Examples, Features, FeatureShape, TargetInfo
from rayml.settings.train import TrainSettings

settings = TrainSettings()
reset_process(settings, deterministic=True)
features = Features(np.ones((64, 2), np.float32), np.zeros((64, 1), np.int64))
batches = ArrayBatches(Examples(features, np.arange(64) % 2), 32)
task = build_task(TargetInfo("y", "binary", ("no", "yes")))
lane = NewLane(0, MLP(FeatureShape(2, (3,)), 1, width=8), settings)
assert why_not_stacked(lane, task, batches) is None
measure_lanes(lane, task, batches, 4)
print([name for name in ("torch._dynamo", "torch._inductor") if name in sys.modules])
"""


def test_training_imports_no_compiler() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRAINING], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_determinism_is_as_the_last_trial_wants_it() -> None:
    try:
        for wanted in (True, False, True):
            reset_process(TrainSettings(), deterministic=wanted)
            assert torch.are_deterministic_algorithms_enabled() is wanted
    finally:
        reset_process(TrainSettings())
    assert not torch.are_deterministic_algorithms_enabled()


def test_what_a_module_sets_for_the_process_does_not_reach_the_next_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reset_process(TrainSettings())
    hook = nn.modules.module.register_module_forward_hook(lambda *_: None)
    precision, folder = torch.get_float32_matmul_precision(), Path.cwd()
    threads = torch.get_num_threads()
    monkeypatch.chdir(tmp_path)
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_num_threads(threads + 1)
    torch.set_anomaly_enabled(True)
    torch.set_autocast_enabled("cpu", True)
    torch.set_float32_matmul_precision("medium")
    torch.backends.mkldnn.enabled = not torch.backends.mkldnn.enabled
    mkldnn = torch.backends.mkldnn.enabled
    np.seterr(all="raise")
    reset_process(TrainSettings(threads=threads))
    made = torch.ones(1, requires_grad=True) * 2
    assert (made.requires_grad, made.dtype, made.device.type) == (True, torch.float32, "cpu")
    assert torch.get_num_threads() == threads
    assert not torch.is_anomaly_enabled()
    assert not torch.is_autocast_enabled("cpu")
    assert torch.get_float32_matmul_precision() == precision
    assert torch.backends.mkldnn.enabled is not mkldnn
    assert np.geterr()["divide"] == "warn"
    assert not nn.modules.module._global_forward_hooks
    assert Path.cwd() == folder
    hook.remove()
