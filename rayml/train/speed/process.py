"""Resets a training process, in which an earlier trial may have changed settings."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rayml.settings.train import TrainSettings
from rayml.train.loop.randomness import seed_all

# Of glibc's mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
# Hooks of `register_module_forward_hook` and its like run in every module of the process.
_GLOBAL_HOOKS = (
    "_global_forward_hooks",
    "_global_forward_pre_hooks",
    "_global_forward_hooks_always_called",
    "_global_forward_hooks_with_kwargs",
    "_global_backward_hooks",
    "_global_backward_pre_hooks",
    "_global_module_registration_hooks",
    "_global_parameter_registration_hooks",
    "_global_buffer_registration_hooks",
)


def reset_process(settings: TrainSettings, *, deterministic: bool = False) -> None:
    """Undo the changes of an earlier trial in this process.

    It resets seeds, PyTorch's settings of the process, and the current folder. State that a user's
    code keeps in its own modules and classes stays.

    Args:
        settings: of the trial.
        deterministic: whether PyTorch raises where an operation has no deterministic algorithm.
    """
    # Read by CUDA's library of linear algebra when it starts.
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    _forget_settings()
    seed_all(settings.seed)
    torch.set_num_threads(settings.threads)
    # As `use_deterministic_algorithms` does, without importing the compiler, which takes a second.
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    # Else the switch above fills all new memory, which slows training and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    keep_memory()


def _forget_settings() -> None:
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)
    torch.set_anomaly_enabled(False)
    torch.set_flush_denormal(False)
    for device in ("cpu", "cuda"):
        torch.set_autocast_enabled(device, False)
    precision, flags, folder, errors = _at_first()
    torch.set_float32_matmul_precision(precision)
    for (owner, name), value in flags.items():
        setattr(owner, name, value)
    for name in _GLOBAL_HOOKS:
        getattr(torch.nn.modules.module, name, {}).clear()
    np.seterr(**errors)
    with suppress(OSError):  # it is gone, and nothing is read relative to it any more
        os.chdir(folder)


@cache
def _at_first() -> tuple[str, dict[tuple[object, str], object], Path, Any]:
    """Settings of the process before its first trial: PyTorch's defaults, or the operator's."""
    backends = torch.backends
    flags: list[tuple[object, str]] = [
        (backends.cudnn, "enabled"),
        (backends.cudnn, "benchmark"),
        (backends.cudnn, "deterministic"),
        (backends.cudnn, "allow_tf32"),
        (backends.cuda.matmul, "allow_tf32"),
        (backends.mkldnn, "enabled"),
    ]
    return (
        torch.get_float32_matmul_precision(),
        {(owner, name): getattr(owner, name) for owner, name in flags},
        Path.cwd(),
        np.geterr(),
    )


@cache
def keep_memory() -> None:
    """Let the process keep the memory that its tensors free.

    glibc gives larger pieces back to the system at once, which then clears them anew for each
    step of training: a tenth of a cohort's time.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    if mallopt is not None:
        for parameter, value in ((_MMAP_THRESHOLD, 2**30), (_TRIM_THRESHOLD, 2**30)):
            mallopt(parameter, value)
        mallopt(_TOP_PAD, 2**26)
