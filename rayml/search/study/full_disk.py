"""What a study does where its disk takes no more: it halts, so that a resumed sweep goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rayml.errors import StorageError


class Halt:
    """Remembers why a study halted.

    A halted study proposes and records nothing: trials that had not ended stay so in the journal,
    and a resumed sweep goes on with them.

    Attributes:
        reason: of the halt, the first one; empty before.
    """

    def __init__(self) -> None:
        self.reason = ""

    def because(self, reason: str) -> None:
        """Halt; a study that has halted keeps its first reason."""
        self.reason = self.reason or reason

    @contextmanager
    def on_full_disk(self) -> Iterator[None]:
        """Halt where the block cannot write.

        Raises:
            StorageError: it cannot, or the study has halted before.
        """
        if self.reason:
            raise StorageError(self.reason)
        try:
            yield
        except StorageError as error:
            self.because(str(error))
            raise
