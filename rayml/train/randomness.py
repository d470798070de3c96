"""PyTorch's global random numbers, kept apart for each training loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_CPU, _CUDA = "cpu", "cuda"


class Randomness:
    """States of the global generators that a module may draw from, `nn.Dropout` for one.

    Within `active()` the generators go on from these states, and outside from their own, so
    that loops in one process do not disturb one another and a restored one repeats its draws.

    Args:
        device: whose generator belongs to the loop besides the CPU's; starts from the
            present state of both.

    Attributes:
        states: uint8 tensors by kind of device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.states = self._read()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Draw from these states for as long as the context lasts."""
        outside = self._read()
        self._write(self.states)
        try:
            yield
        finally:
            self.states = self._read()
            self._write(outside)

    def _read(self) -> dict[str, Tensor]:
        states = {_CPU: torch.get_rng_state()}
        if self._device.type == _CUDA:
            states[_CUDA] = torch.cuda.get_rng_state(self._device)
        return states

    def _write(self, states: dict[str, Tensor]) -> None:
        torch.set_rng_state(states[_CPU])
        # A trial that goes on on another kind of device starts that one's numbers afresh.
        if self._device.type == _CUDA and _CUDA in states:
            torch.cuda.set_rng_state(states[_CUDA], self._device)
