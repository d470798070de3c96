"""What a process that trains is set to, and what an earlier trial may have left behind in it."""

from __future__ import annotations

import ctypes
import os
import random
import sys
from functools import cache

import numpy as np
import torch

from rayml.types import TrainSettings

# Of glibc's mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3


def reset_process(settings: TrainSettings, *, deterministic: bool = False) -> None:
    """Undo what an earlier trial of this process may have left behind.

    Args:
        settings: of the trial.
        deterministic: whether PyTorch raises where an operation has no deterministic algorithm.
    """
    # Read by CUDA's library of linear algebra when it starts.
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    random.seed(settings.seed)
    np.random.seed(settings.seed % 2**32)
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    torch.set_default_dtype(torch.float32)
    # As `use_deterministic_algorithms` does, without importing the compiler, which takes a second.
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    # Else the switch above fills all new memory, which slows training and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    keep_memory()


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
