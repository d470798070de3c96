"""NumPy arrays as tensors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor


def as_tensor(array: npt.NDArray[Any]) -> Tensor:
    """A tensor of the array's memory; it may be read-only, and is not to be written to."""
    with warnings.catch_warnings():
        # Arrays in Ray's object store are read-only; nothing writes to their tensors.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
