"""Threads that each compute with one thread of PyTorch.

With several threads a product of matrices adds up in another order, so the bits of a text would
depend on the processors of the machine. Texts run beside each other instead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class SingleThreads:
    """As many such threads as PyTorch has here; they are made at once."""

    def __init__(self) -> None:
        count = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="text")
        ready = threading.Barrier(count)

        def begin(_: int) -> None:
            torch.set_num_threads(1)
            # A thread takes the number that was set last, by any thread, when it is first asked
            # for it, and keeps it: so it is asked here.
            while torch.get_num_threads() != 1:
                torch.set_num_threads(1)
            ready.wait()

        list(self._pool.map(begin, range(count)))
        # For the threads that begin from now on.
        torch.set_num_threads(count)

    def map(self, run: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Run a function on each item; the results in their order."""
        return list(self._pool.map(run, items))
