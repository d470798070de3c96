"""A stopwatch accounts for every second."""

from __future__ import annotations

import time

import pytest

from rayml.timing import Stopwatch


def test_stages_and_the_rest_add_up_to_the_total() -> None:
    watch = Stopwatch(time.perf_counter() - 10.0)
    watch.add("prepare", 2.0)
    watch.add("sweep", 3.0)
    watch.add("prepare", 1.0)
    rows = dict(watch.rows())
    assert list(rows) == ["prepare", "sweep", "other", "total"]
    assert rows["prepare"] == 3.0
    assert rows["prepare"] + rows["sweep"] + rows["other"] == pytest.approx(rows["total"], abs=0.1)


def test_a_stage_that_fails_is_counted() -> None:
    watch = Stopwatch()
    with pytest.raises(ZeroDivisionError), watch.stage("divide"):
        1 / 0  # noqa: B018
    assert "divide" in watch.rows()
