from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from rayml.data.advice.repeated import Repeated, compared_below, count_repeated, hashes


def test_rows_that_stand_in_training_too_are_counted() -> None:
    below = compared_below(100)
    train, validation, test = ([1.0, 2.0, 3.0], [2.0, 2.0, 9.0], [8.0, 3.0])
    parts = [
        hashes(pa.table({"x": values, "y": ["a"] * len(values)}), side, below)
        for side, values in enumerate((train, validation, test))
    ]
    assert count_repeated(parts, below) == Repeated(validation=2, test=1)
    other = hashes(pa.table({"x": [3.0], "y": ["b"]}), 2, below)
    assert count_repeated([parts[0], other], below) == Repeated(0, 0)


def test_of_many_rows_a_share_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rayml.data.advice.repeated.MOST", 2000)
    below = compared_below(20_000)
    values = np.arange(10_000, dtype=np.float64)
    parts = [hashes(pa.table({"x": values}), side, below) for side in (0, 2)]
    assert sum(part.num_rows for part in parts) < 3000
    assert count_repeated(parts, below).test == pytest.approx(10_000, rel=0.15)
