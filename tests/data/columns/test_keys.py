from __future__ import annotations

import random
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.data.columns.keys import KeyCounts, floats_of, order_floats

KEYS = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 20), max_size=60)


def counted(keys: list[int], limit: int = 8) -> KeyCounts:
    return KeyCounts.of(np.array(keys, dtype=np.uint64), limit)


def same(one: KeyCounts, other: KeyCounts) -> bool:
    return (one.keys.tolist(), one.counts.tolist(), one.shift) == (
        other.keys.tolist(),
        other.counts.tolist(),
        other.shift,
    )


@given(st.lists(KEYS, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_merging_in_any_order_equals_counting_at_once(
    parts: list[list[int]], rng: random.Random
) -> None:
    whole = counted([key for part in parts for key in part])
    shuffled = rng.sample(parts, len(parts))
    assert same(reduce(KeyCounts.merge, map(counted, shuffled)), whole)
    right = reduce(lambda a, b: b.merge(a), reversed([counted(part) for part in parts]))
    assert same(right, whole)


@given(KEYS)
def test_counts_stay_bounded_and_lose_no_key(keys: list[int]) -> None:
    counts = counted(keys)
    assert len(counts.keys) <= 8
    assert counts.total == len(keys)
    assert (counts.shift == 0) == (len(set(keys)) <= 8)
    assert (np.diff(counts.keys.astype(object)) > 0).all()


def test_few_keys_are_exact() -> None:
    counts = counted([5, 3, 5])
    assert counts.keys.tolist() == counts.starts().tolist() == counts.centers().tolist() == [3, 5]
    assert counts.counts.tolist() == [1, 2]


def test_ranges_know_their_start_and_middle() -> None:
    counts = counted(list(range(16)))
    assert counts.shift == 1
    assert counts.starts().tolist() == list(range(0, 16, 2))
    assert counts.centers().tolist() == list(range(1, 16, 2))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_keys_of_floats_keep_their_order_and_value(values: list[float]) -> None:
    floats = np.array(values, dtype=np.float64)
    keys = order_floats(floats)
    assert floats_of(keys).tolist() == floats.tolist()
    assert floats[np.argsort(keys, kind="stable")].tolist() == sorted(values)


def test_both_zeros_are_one_key() -> None:
    assert len(set(order_floats(np.array([0.0, -0.0])).tolist())) == 1


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12])
def test_ranges_of_floats_have_a_bounded_relative_width(scale: float) -> None:
    values = np.random.default_rng(0).lognormal(size=200_000) * scale
    counts = KeyCounts.of(order_floats(values), 2**12)
    keys = counts.starts()
    width = floats_of(keys + np.uint64((1 << counts.shift) - 1)) / floats_of(keys) - 1
    assert width.max() < 0.01
