"""torch.compile as cohorts use it: compiled once, and kept in a folder of the user's.

Source: https://docs.pytorch.org/docs/stable/torch.compiler.html
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rayml.train.lanes.gradients import Losses

Backend = str | Callable[..., Any]
_CXX = ("g++", "clang++")
# The oldest GPU that Triton compiles for.
_CAPABILITY = (7, 0)
_ENVIRONMENT = {
    # More threads are processes that import PyTorch and stay.
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
    # These caches hold pickles. Code that the C++ compiler or Triton made is found without them.
    "TORCHINDUCTOR_FX_GRAPH_CACHE": "0",
    "TORCHINDUCTOR_AUTOGRAD_CACHE": "0",
}
_CACHE = "TORCHINDUCTOR_CACHE_DIR"


def why_no_compiler(device: torch.device) -> str | None:
    """What this machine lacks to compile for a device; None if it has all."""
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            return "the package triton is not installed"
        if torch.cuda.get_device_capability(device) < _CAPABILITY:
            return f"the GPU is older than compute capability {'.'.join(map(str, _CAPABILITY))}"
    given = os.environ.get("CXX")
    wanted = (given,) if given else _CXX
    if not any(shutil.which(each) for each in wanted):
        return f"there is no C++ compiler ({' or '.join(wanted)})"
    return None


def cache_folder() -> Path:
    """Where compiled code is kept for the next sweep: the user's own, as XDG says."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "rayml" / "compiled"


class CompiledLosses:
    """Losses of lanes, compiled when they are first computed.

    Each number of lanes and rows before `finish` is compiled, with batches that the lanes share or
    have of their own; afterwards a call with other shapes runs uncompiled. PyTorch cannot compile
    for any number of lanes, since it fixes the number where one stacked parameter meets another.

    Args:
        losses: what is compiled.
        device: of the lanes.
        backend: of torch.compile.
    """

    def __init__(self, losses: Losses, device: torch.device, backend: Backend) -> None:
        _set_environment()
        # The compiler has a switch of its own, which `reset_process` does not import.
        torch.use_deterministic_algorithms(torch.are_deterministic_algorithms_enabled())
        self._graphs = device.type == "cuda" and backend == "inductor"
        # CUDA graphs start all kernels of a step at once, which is most of a small step's time.
        mode = "reduce-overhead" if self._graphs else None
        with _quiet():
            self._run: Losses = torch.compile(losses, backend=backend, mode=mode, dynamic=False)
        self._done = False

    def __call__(
        self, numeric: Tensor, categorical: Tensor, target: Tensor, smoothing: Tensor
    ) -> Tensor:
        """See `LaneGradients.losses`."""
        if self._graphs:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        if not self._done:
            with _quiet():
                return self._run(numeric, categorical, target, smoothing)
        with torch.compiler.set_stance("eager_on_recompile"):
            return self._run(numeric, categorical, target, smoothing)

    def finish(self) -> None:
        """Compile nothing more."""
        self._done = True


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the compiler's own warnings, which say nothing of the user's code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _set_environment() -> None:
    """PyTorch reads these when its compiler is imported; what the user has set stays."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if _CACHE not in os.environ:
        folder = cache_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.environ[_CACHE] = str(folder)
