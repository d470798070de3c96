from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rayml.data.columns.hashing import mix
from rayml.data.columns.keys import KeyCounts
from rayml.data.split.shares import Share
from rayml.data.split.ties import (
    Ranges,
    Ties,
    before_each,
    divide,
    exact_counts,
    heavy_count,
    ranges_to_count,
    tally,
)


def keys_of(copies: list[int]) -> np.ndarray:
    each = mix(np.arange(len(copies), dtype=np.uint64)) >> np.uint64(1)
    return np.repeat(each, copies)


@given(
    copies=st.lists(st.integers(1, 40), min_size=1, max_size=60),
    limit=st.sampled_from([8, 2**20]),
    fractions=st.tuples(st.floats(0.05, 0.4), st.floats(0.05, 0.4)),
)
def test_a_stratum_is_cut_at_its_share(
    copies: list[int], limit: int, fractions: tuple[float, float]
) -> None:
    keys = keys_of(copies)
    rows = len(keys)
    share = Share(int(rows * fractions[0]), int(rows * fractions[1]))
    counts = KeyCounts.of(keys, limit)
    ranges = ranges_to_count([counts], [share])
    counted = exact_counts([tally(np.zeros(rows, np.uint64), keys, ranges)])
    none = KeyCounts.of(np.empty(0, np.uint64), 1)
    division = divide(counts, share, counted.get(0, none), heavy_count(rows, rows))
    assert division.sizes == (rows - share.validation - share.test, share.validation, share.test)


def test_copies_of_a_row_that_repeats_little_are_divided_at_the_cuts_alone() -> None:
    keys = keys_of([3] * 500)
    counts, share = KeyCounts.of(keys, 2**20), Share(301, 301)
    ranges = ranges_to_count([counts], [share])
    counted = exact_counts([tally(np.zeros(1500, np.uint64), keys, ranges)])
    division = divide(counts, share, counted[0], heavy_count(1500, 1500))
    assert len(division.ties.keys) == 2
    assert division.sizes == (898, 301, 301)


def test_a_block_goes_on_where_the_blocks_before_it_stopped() -> None:
    keys = np.array([5] * 10, dtype=np.uint64)
    ties = Ties(keys[:1], np.array([6]), np.array([8]), np.array([0]))
    ranges = Ranges(np.array([5], np.uint64), np.array([6], np.uint64))
    blocks = [keys[:4], keys[:0], keys[4:7], keys[7:]]
    tallies = [tally(np.zeros(len(block), np.uint64), block, ranges) for block in blocks]
    sides = [
        seen.divide(block, np.zeros(len(block), np.int8)).tolist()
        for seen, block in zip(before_each(tallies, ties), blocks, strict=True)
    ]
    assert sides == [[0, 0, 0, 0], [], [0, 0, 1], [1, 2, 2]]
