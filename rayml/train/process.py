"""A worker process that trains one trial after another starts each of them alike."""

from __future__ import annotations

import random

import numpy as np

from rayml.types import TrainSettings


def reset_process(settings: TrainSettings) -> None:
    """Undo what an earlier trial of this process may have left behind: seeds, threads, type."""
    import torch

    random.seed(settings.seed)
    np.random.seed(settings.seed % 2**32)
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    torch.set_default_dtype(torch.float32)
