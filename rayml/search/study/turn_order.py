"""The order in which cohorts speak with a study."""

from __future__ import annotations

from typing import Protocol


class TurnOrder(Protocol):
    """Says which cohort may speak with a study, and when a new one may come.

    What a sampler proposes and a pruner decides follows from the order in which trials are
    asked, reported and ended. An order that does not depend on time makes a sweep deterministic.
    """

    @property
    def vacant(self) -> bool:
        """Whether a new cohort may come now."""

    def enter(self, cohort: int) -> None:
        """Take in a new cohort, where one may come."""

    def is_of(self, cohort: int) -> bool:
        """Whether the turn is a cohort's; it stays so until the cohort ends it or leaves."""

    def end(self, cohort: int) -> None:
        """End a cohort's turn; nothing happens if it is another one's."""

    def leave(self, cohort: int) -> None:
        """Forget a cohort that has ended."""

    def close(self) -> None:
        """Expect no new cohort from now on."""


class AnyOrder:
    """Lets every cohort speak at any time."""

    vacant = True

    def enter(self, cohort: int) -> None:
        """See `TurnOrder`; nothing depends on it."""

    def is_of(self, cohort: int) -> bool:  # noqa: ARG002
        """See `TurnOrder`; it always is."""
        return True

    def end(self, cohort: int) -> None:
        """See `TurnOrder`; nothing depends on it."""

    def leave(self, cohort: int) -> None:
        """See `TurnOrder`; nothing depends on it."""

    def close(self) -> None:
        """See `TurnOrder`; nothing depends on it."""


class RoundRobin:
    """A pointer that goes round some slots, each of which a cohort holds or none does.

    The slot at the pointer has the turn: its cohort may speak with the study, and a vacant one
    takes the next cohort. A cohort that comes early is refused and asks again, so the order of
    turns follows from what is done in them, and not from when a cohort asks.

    The turns are not in the journal. A cohort without a slot, since the process that knew of it
    died, is given a vacant one when it asks. There is one as long as no more cohorts live than
    there are slots.

    Args:
        slots: cohorts that live at a time.
    """

    def __init__(self, slots: int) -> None:
        self._slots: list[int | None] = [None] * slots
        self._at = 0
        self._closed = False

    @property
    def vacant(self) -> bool:
        """See `TurnOrder`: whether the slot that has the turn has no cohort."""
        return self._slots[self._at] is None

    def enter(self, cohort: int) -> None:
        """See `TurnOrder`; the new cohort's first turn ends at once."""
        assert self.vacant
        self._slots[self._at] = cohort
        self._advance()

    def is_of(self, cohort: int) -> bool:
        """See `TurnOrder`."""
        if cohort not in self._slots:
            self._slots[self._slots.index(None)] = cohort
        self._settle()
        return self._slots[self._at] == cohort

    def end(self, cohort: int) -> None:
        """See `TurnOrder`."""
        if self._slots[self._at] == cohort:
            self._advance()

    def leave(self, cohort: int) -> None:
        """See `TurnOrder`; a turn that the cohort did not end passes to its vacant slot."""
        if cohort in self._slots:
            self._slots[self._slots.index(cohort)] = None
            self._settle()

    def close(self) -> None:
        """See `TurnOrder`: pass over vacant slots."""
        self._closed = True
        self._settle()

    def _advance(self) -> None:
        self._at = (self._at + 1) % len(self._slots)
        self._settle()

    def _settle(self) -> None:
        if not self._closed or all(each is None for each in self._slots):
            return
        while self._slots[self._at] is None:
            self._at = (self._at + 1) % len(self._slots)
