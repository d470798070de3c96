"""Turns come in one order, whoever is early or late."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.search.study.turn_order import RoundRobin


class Play:
    """A sweep that is nothing but turns: cohorts of some lives, and who acted in which order.

    Every step one actor, whom the test chooses, tries to do what it would do next.

    Args:
        lives: turns of each cohort, in the order in which they come.
        slots: of the turns.
    """

    def __init__(self, lives: Sequence[int], slots: int) -> None:
        self.turns, self.slots = RoundRobin(slots), slots
        self.lives = list(lives)
        self.left: dict[int, int] = {}
        self.waiting_to_leave: list[int] = []
        self.born = 0
        self.order: list[tuple[str, int]] = []

    @property
    def over(self) -> bool:
        return self.born == len(self.lives) and not self.left and not self.waiting_to_leave

    def act(self, actor: int) -> bool:
        """Let the driver (0) or the n-th of the living cohorts try its next step."""
        if self.born == len(self.lives):
            self.turns.close()
        if actor == 0:
            return self._driver()
        living = sorted([*self.left, *self.waiting_to_leave])
        if actor > len(living):
            return False
        cohort = living[actor - 1]
        if cohort in self.waiting_to_leave:
            self.waiting_to_leave.remove(cohort)
            self.turns.leave(cohort)
            return True
        return self._cohort(cohort)

    def _driver(self) -> bool:
        live = len(self.left) + len(self.waiting_to_leave)
        if self.born == len(self.lives) or live == self.slots or not self.turns.vacant:
            return False
        self.turns.enter(self.born)
        self.order.append(("born", self.born))
        self.left[self.born] = self.lives[self.born]
        self.born += 1
        return True

    def _cohort(self, cohort: int) -> bool:
        if not self.turns.is_of(cohort):
            return False
        self.order.append(("turn", cohort))
        self.left[cohort] -= 1
        self.turns.end(cohort)
        if not self.left[cohort]:
            del self.left[cohort]
            self.waiting_to_leave.append(cohort)
        return True


LIVES = st.lists(st.integers(1, 4), min_size=1, max_size=7)


def played(lives: Sequence[int], slots: int, actors: Sequence[int]) -> list[tuple[str, int]]:
    """The order of turns if the actors try in the given order, and then all of them in turn."""
    play = Play(lives, slots)
    for actor in actors:
        play.act(actor)
    while not play.over:
        assert any(play.act(actor) for actor in range(slots + 1)), "no one can go on"
    return play.order


@given(LIVES, st.integers(1, 4), st.data())
def test_the_order_is_one_for_every_interleaving(
    lives: list[int], slots: int, data: st.DataObject
) -> None:
    actors = data.draw(st.lists(st.integers(0, slots), max_size=60))
    order = played(lives, slots, actors)
    assert order == played(lives, slots, [])
    assert sorted(each for kind, each in order if kind == "born") == list(range(len(lives)))
    for cohort, turns in enumerate(lives):
        assert order.count(("turn", cohort)) == turns


def test_slots_go_round() -> None:
    assert played([2, 3, 1], 2, []) == [
        ("born", 0), ("born", 1),
        ("turn", 0), ("turn", 1),
        ("turn", 0), ("turn", 1),
        ("born", 2), ("turn", 1),
        ("turn", 2),
    ]  # fmt: skip


def test_a_turn_is_kept_until_it_is_ended() -> None:
    turns = RoundRobin(2)
    turns.enter(5)
    turns.enter(6)
    assert turns.is_of(5)
    assert turns.is_of(5)  # a worker that died and was started again asks anew
    assert not turns.is_of(6)
    turns.end(6)  # not its own
    assert turns.is_of(5)
    turns.end(5)
    assert turns.is_of(6)


def test_a_cohort_that_leaves_within_its_turn_holds_no_one_up() -> None:
    turns = RoundRobin(2)
    turns.enter(0)
    turns.enter(1)
    assert turns.is_of(0)
    turns.leave(0)
    turns.leave(0)
    assert turns.vacant
    assert not turns.is_of(1)
    turns.close()
    assert turns.is_of(1)


@given(st.integers(1, 5), st.permutations(range(5)), st.booleans())
def test_cohorts_of_a_lost_record_find_a_slot(slots: int, asking: list[int], closed: bool) -> None:
    turns = RoundRobin(slots)
    if closed:
        turns.close()
    live = asking[:slots]
    had: list[int] = []
    for _ in range(2 * slots):
        for cohort in live:
            if turns.is_of(cohort):
                had.append(cohort)
                turns.end(cohort)
    assert set(had) == set(live)


def test_there_is_no_slot_for_more_cohorts_than_can_live() -> None:
    turns = RoundRobin(1)
    turns.enter(0)
    with pytest.raises(ValueError, match="not in list"):
        turns.is_of(1)
