"""How long a cohort stays whole follows from the pruner's rungs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rayml.search.pruning.forecast import epochs_together, steps_together
from rayml.settings.search import PrunerSettings

HALVING = PrunerSettings(name="asha", min_epochs=1, reduction=4)
NONE = PrunerSettings(name="none")


def test_without_halving_it_lasts_to_the_end() -> None:
    assert epochs_together(NONE, 3, 20) == 17
    assert epochs_together(PrunerSettings(name="median"), 0, 20) == 20


def test_halving_breaks_it_up_at_the_next_rung() -> None:
    assert epochs_together(HALVING, 0, 20) == 1
    assert epochs_together(HALVING, 1, 20) == 3
    assert epochs_together(HALVING, 2, 20) == 2
    assert epochs_together(HALVING, 16, 20) == 4


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 5), st.integers(2, 6))
def test_no_more_than_is_left_is_expected(done: int, more: int, first: int, reduction: int) -> None:
    pruner = PrunerSettings(name="asha", min_epochs=first, reduction=reduction)
    assert 0 <= epochs_together(pruner, done, done + more) <= more


def test_trials_that_join_when_all_have_ended_fill_it_again() -> None:
    assert steps_together(NONE, [(0, 10), (0, 10)], more=0, epoch=100) == 1000
    assert steps_together(NONE, [(0, 10), (0, 10)], more=2, epoch=100) == 2000
    assert steps_together(NONE, [(0, 10), (6, 10)], more=1, epoch=100) == 700
    assert steps_together(HALVING, [(0, 10), (0, 10)], more=2, epoch=100) == 100
