"""Turns: the order in which the cohorts of a deterministic sweep speak with the study."""

from __future__ import annotations


class Turns:
    """A pointer that goes round some slots, each of which a cohort holds or none does.

    The slot at the pointer has the turn: its cohort may speak with the study, and a vacant one
    takes the next cohort. Whoever comes early is refused and asks again, so that the order of
    turns follows from what is done in them, and not from when anyone asks.

    A cohort that holds no slot, since the process that knew of it died, is given a vacant one
    when it asks. There is one for it as long as no more cohorts live than there are slots.

    Args:
        slots: cohorts that live at a time.
    """

    def __init__(self, slots: int) -> None:
        self._slots: list[int | None] = [None] * slots
        self._at = 0
        self._closed = False

    @property
    def vacant(self) -> bool:
        """Whether the turn is that of a slot without a cohort."""
        return self._slots[self._at] is None

    def enter(self, cohort: int) -> None:
        """Put a new cohort into the vacant slot that has the turn, which ends with it."""
        assert self.vacant
        self._slots[self._at] = cohort
        self._advance()

    def is_of(self, cohort: int) -> bool:
        """Whether the turn is a cohort's; it stays so until the cohort ends it or leaves."""
        if cohort not in self._slots:
            self._slots[self._slots.index(None)] = cohort
        self._settle()
        return self._slots[self._at] == cohort

    def end(self, cohort: int) -> None:
        """End a cohort's turn; nothing happens if it is another one's."""
        if self._slots[self._at] == cohort:
            self._advance()

    def leave(self, cohort: int) -> None:
        """Make a cohort's slot vacant; a turn that it did not end becomes one of that slot."""
        if cohort in self._slots:
            self._slots[self._slots.index(cohort)] = None
            self._settle()

    def close(self) -> None:
        """Pass over vacant slots from now on, since no cohort will come."""
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
