"""The global random numbers of Python, NumPy and PyTorch, kept apart for each training loop."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

_CPU, _CUDA = "cpu", "cuda"
_PYTHON, _NUMPY = "python", "numpy"
_REST = ".rest"
_MERSENNE = "MT19937"


class _States(NamedTuple):
    """Of PyTorch by kind of device, of Python and of NumPy, as these give them."""

    torch: dict[str, Tensor]
    python: tuple[Any, ...]
    numpy: Any


class Randomness:
    """States of the global generators that a module may draw from, `nn.Dropout` for one.

    Within `active()` the generators go on from these states, and outside from their own, so
    that loops in one process do not disturb one another and a restored one repeats its draws.

    Args:
        device: whose generator belongs to the loop besides the CPU's; starts from the
            present state of both, and of those of Python and NumPy.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._own = self._read()

    @property
    def states(self) -> dict[str, Tensor]:
        """As tensors by generator, to be saved."""
        return {**self._own.torch, **_python_tensors(self._own), **_numpy_tensors(self._own)}

    @states.setter
    def states(self, saved: Mapping[str, Tensor]) -> None:
        # What is missing, as in an older checkpoint, goes on from where it is.
        self._own = _States(
            {name: saved[name] for name in (_CPU, _CUDA) if name in saved},
            _python_state(saved) if _PYTHON in saved else self._own.python,
            _numpy_state(saved) if _NUMPY in saved else self._own.numpy,
        )

    @contextmanager
    def active(self) -> Iterator[None]:
        """Draw from these states for as long as the context lasts."""
        outside = self._read()
        self._write(self._own)
        try:
            yield
        finally:
            self._own = self._read()
            self._write(outside)

    def _read(self) -> _States:
        states = {_CPU: torch.get_rng_state()}
        if self._device.type == _CUDA:
            states[_CUDA] = torch.cuda.get_rng_state(self._device)
        return _States(states, random.getstate(), np.random.get_state(legacy=False))

    def _write(self, states: _States) -> None:
        torch.set_rng_state(states.torch[_CPU])
        random.setstate(states.python)
        np.random.set_state(states.numpy)
        # A trial that goes on on another kind of device starts that one's numbers afresh.
        if self._device.type == _CUDA and _CUDA in states.torch:
            torch.cuda.set_rng_state(states.torch[_CUDA], self._device)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """The global numbers begin with the seed, and go on afterwards as if nothing were."""
    with Randomness(device).active():
        seed_all(seed)
        yield


def seed_all(seed: int) -> None:
    """Let the global generators of Python, NumPy and PyTorch begin with a seed."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


# Both are Mersenne twisters: words and a place in them, and the second of a pair of normal
# numbers, which is drawn together with the first.


def _python_tensors(states: _States) -> dict[str, Tensor]:
    _, words, pending = states.python
    return {
        _PYTHON: torch.tensor(words, dtype=torch.int64),
        _PYTHON + _REST: _pending(pending is not None, pending or 0.0),
    }


def _python_state(saved: Mapping[str, Tensor]) -> tuple[Any, ...]:
    there, value = saved[_PYTHON + _REST].tolist()
    return (3, tuple(saved[_PYTHON].tolist()), value if there else None)


def _numpy_tensors(states: _States) -> dict[str, Tensor]:
    state = states.numpy
    if state["bit_generator"] != _MERSENNE:
        return {}  # A user's module has put another one in its place.
    words = torch.from_numpy(state["state"]["key"].astype(np.int64))
    place = torch.tensor([state["state"]["pos"]], dtype=torch.int64)
    return {
        _NUMPY: torch.cat([words, place]),
        _NUMPY + _REST: _pending(bool(state["has_gauss"]), state["gauss"]),
    }


def _numpy_state(saved: Mapping[str, Tensor]) -> dict[str, Any]:
    *words, place = saved[_NUMPY].tolist()
    there, value = saved[_NUMPY + _REST].tolist()
    return {
        "bit_generator": _MERSENNE,
        "state": {"key": np.array(words, dtype=np.uint32), "pos": place},
        "has_gauss": int(there),
        "gauss": value,
    }


def _pending(there: bool, value: float) -> Tensor:
    return torch.tensor([float(there), value], dtype=torch.float64)
