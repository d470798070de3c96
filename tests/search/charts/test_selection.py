"""What is drawn when there is too much to draw."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rayml.search.charts.selection import select, spread
from rayml.search.results.leaderboard import TrialRow


def rows(count: int) -> list[TrialRow]:
    """Ranked so that the highest number is the best."""
    numbers = reversed(range(count))
    return [TrialRow(n, "COMPLETE", 0.5, 1, 1, {}, "", "", None, None, {}) for n in numbers]


@given(st.integers(0, 300), st.integers(1, 100), st.sets(st.integers(0, 299), max_size=20))
def test_a_selection_is_bounded_ordered_and_keeps_what_matters(
    count: int, limit: int, keep: set[int]
) -> None:
    ranked = rows(count)
    chosen = select(ranked, limit, keep)
    numbers = [row.number for row in chosen.rows]
    assert len(numbers) == min(count, limit)
    assert numbers == sorted(set(numbers))
    there = keep & set(range(count))
    if len(there) <= limit:
        assert there <= set(numbers)
    if count and not keep and limit >= 5:
        assert count - 1 in numbers


@given(st.integers(0, 300), st.integers(0, 100))
def test_what_is_spread_keeps_its_order_and_its_end(count: int, limit: int) -> None:
    items = list(range(count))
    chosen = spread(items, limit)
    assert len(chosen) == min(count, limit)
    assert chosen == sorted(set(chosen))
    if chosen:
        assert chosen[-1] == count - 1


def test_the_rule_is_told_where_it_is_applied() -> None:
    assert select(rows(5), 5).note("trials") == ""
    assert select(rows(1500), 1000).note("trials").startswith("1,000 of 1,500 trials are drawn:")
