"""Counts of values by size."""

from __future__ import annotations

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from rayml.serve.model.histogram import Histogram


@given(st.lists(st.floats(0, 100)))
def test_each_value_is_in_the_first_bucket_that_holds_it(values: list[float]) -> None:
    histogram = Histogram((0.5, 1.0, 10.0))
    for value in values:
        histogram.observe(value)
    edges = (-math.inf, *histogram.bounds, math.inf)
    assert histogram.counts == [
        sum(low < value <= high for value in values) for low, high in itertools.pairwise(edges)
    ]
    assert histogram.sum == sum(values)
