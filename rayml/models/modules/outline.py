"""The shapes of a model's parameters, found without taking memory for them.

The model is made on PyTorch's meta device, whose tensors have shapes and no storage. Its tensors
and modules are counted meanwhile, so that a depth of a billion stops at the limit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

Shape = tuple[int, ...]

# What a model may hold besides its weights: buffers that it computes, layers that it replaces.
_SLACK_BYTES = 64 << 20
_SLACK = 4
_SLACK_TENSORS = 256
_MODULES_A_TENSOR = 32


class TooManyError(ValueError):
    """A model makes more tensors or modules, or larger ones, than its weights leave room for."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a model may register while it is made.

    Attributes:
        tensors: number of parameters and buffers.
        modules: number of modules.
        size: bytes of all tensors.
    """

    tensors: int
    modules: int
    size: int

    @classmethod
    def of(cls, shapes: Mapping[str, Shape]) -> Room:
        """Room for a model with parameters of these shapes, and for what it holds besides."""
        tensors = _SLACK * len(shapes) + _SLACK_TENSORS
        values = sum(torch.Size(shape).numel() for shape in shapes.values())
        return cls(tensors, _MODULES_A_TENSOR * tensors, _SLACK * 8 * values + _SLACK_BYTES)


def outline(make: Callable[[], nn.Module], room: Room) -> dict[str, Shape] | None:
    """The shapes of a model's parameters and buffers by name.

    Args:
        make: makes the model.
        room: that it may take.

    Returns:
        None where the model cannot be made without memory, as one that reads its own tensors.

    Raises:
        TooManyError: it takes more.
    """
    try:
        with torch.device("meta"), bounded(room):
            model = make()
        state = model.state_dict()
    except TooManyError:
        raise
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        if isinstance(error.__cause__, TooManyError):
            raise error.__cause__ from None
        return None
    tensors = {name: each for name, each in state.items() if isinstance(each, Tensor)}
    if any(
        isinstance(each, UninitializedParameter | UninitializedBuffer) for each in tensors.values()
    ):
        return None
    return {name: tuple(each.shape) for name, each in tensors.items()}


@contextmanager
def bounded(room: Room) -> Iterator[None]:
    """Let this thread make modules for as long as there is room for them.

    Raises:
        TooManyError: in the constructor that takes more.
    """
    counter = _Counter(room, threading.get_ident())
    handles = [
        register_module_parameter_registration_hook(counter.tensor),
        register_module_buffer_registration_hook(counter.tensor),
        register_module_module_registration_hook(counter.module),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Counter:
    """Counts what one thread registers; the hooks are those of all threads."""

    def __init__(self, room: Room, thread: int) -> None:
        self._room = room
        self._thread = thread
        self._tensors = self._modules = self._size = 0

    def tensor(self, _module: nn.Module, _name: str, found: Any) -> None:
        if threading.get_ident() != self._thread or found is None:
            return
        self._tensors += 1
        if self._tensors > self._room.tensors:
            raise TooManyError(f"it makes more than {self._room.tensors:,} tensors")
        if isinstance(found, UninitializedParameter | UninitializedBuffer):
            return
        self._size += found.numel() * found.element_size()
        if self._size > self._room.size:
            raise TooManyError(f"its tensors take more than {self._room.size:,} bytes")

    def module(self, _module: nn.Module, _name: str, _found: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        self._modules += 1
        if self._modules > self._room.modules:
            raise TooManyError(f"it makes more than {self._room.modules:,} modules")
