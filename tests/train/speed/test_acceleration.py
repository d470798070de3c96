"""Compiling is decided by what is left to train, and kept if it turns out to pay."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rayml.train.speed.acceleration import (
    PRIOR,
    Prospect,
    Work,
    decide_bfloat16,
    decide_compile,
    judge_compiled,
)

PROSPECT = Prospect(seconds=12.0, gain=1.5)


def test_little_work_is_not_compiled() -> None:
    chosen = decide_compile(Work(3_000, 0.001), PROSPECT)
    assert not chosen.taken
    assert chosen.reason == (
        "not compiled: the remaining work is 3.0 s, compiling costs 12 s and would save 1.0 s"
    )


def test_much_work_is() -> None:
    chosen = decide_compile(Work(100_000, 0.001), PROSPECT)
    assert chosen.taken
    assert "saves 33 s" in chosen.reason


def test_what_was_no_faster_before_is_not_tried_again() -> None:
    chosen = decide_compile(Work(10**9, 0.001), Prospect(12.0, 0.8))
    assert not chosen.taken
    assert "compiled it is expected to be 0.80 times as fast" in chosen.reason


def test_compiled_code_that_is_no_faster_is_given_up() -> None:
    judged = judge_compiled(Work(100_000, 0.001), Prospect(12.0, 1.01))
    assert not judged.taken
    assert judged.reason == "not compiled: compiled it is 1.01 times as fast after 12 s"


def test_compiled_code_that_is_faster_is_kept() -> None:
    judged = judge_compiled(Work(30_000, 0.002), Prospect(12.0, 1.4))
    assert judged.taken
    assert judged.reason == (
        "compiled: 1.40 times as fast after 12 s; the remaining 30,000 steps pay for it"
    )
    # Its cost is spent, so it stays though the work turns out too little.
    late = judge_compiled(Work(1_000, 0.002), Prospect(12.0, 1.4))
    assert late.taken
    assert "do not pay" in late.reason


def test_bfloat16_must_be_worth_its_digits() -> None:
    assert decide_bfloat16(1.5, 1.0).taken
    chosen = decide_bfloat16(1.1, 1.0)
    assert not chosen.taken
    assert chosen.reason == "trains in float32: bfloat16 is 1.10 times as fast"


@given(
    st.integers(0, 10**9),
    st.floats(1e-6, 1.0),
    st.floats(0.1, 100.0),
    st.floats(0.1, 20.0),
)
def test_compiling_is_never_expected_to_lose(
    steps: int, step: float, cost: float, gain: float
) -> None:
    work, prospect = Work(steps, step), Prospect(cost, gain)
    if decide_compile(work, prospect).taken:
        assert cost + work.total / gain < work.total
        # More of the same work pays all the more.
        assert decide_compile(Work(2 * steps, step), prospect).taken


def test_the_prior_compiles_long_work_on_a_gpu_alone() -> None:
    assert not decide_compile(Work(1_000, 0.001), PRIOR["cuda"]).taken
    assert decide_compile(Work(10**6, 0.001), PRIOR["cuda"]).taken
    assert not decide_compile(Work(10**6, 0.001), PRIOR["cpu"]).taken
