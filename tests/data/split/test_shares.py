from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rayml.data.split.shares import Share, share_rows


def test_each_stratum_is_rounded_for_itself() -> None:
    assert share_rows([100, 33], 0.2, 0.25) == [Share(20, 25), Share(7, 8)]


def test_many_small_strata_together_meet_the_fraction() -> None:
    shares = share_rows([7] * 100, 0.2, 0.2)
    assert sum(share.test for share in shares) == 140
    assert sum(share.validation for share in shares) == 140
    assert {share.test for share in shares} == {1, 2}


def test_a_rare_class_has_a_row_in_each_split_if_it_can() -> None:
    assert share_rows([1000, 3], 0.1, 0.1)[1] == Share(1, 1)
    assert share_rows([1000, 2], 0.1, 0.1)[1] == Share(0, 0)
    assert share_rows([1000, 1], 0.4, 0.4)[1] == Share(0, 0)


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=40),
    st.floats(0.05, 0.45),
    st.floats(0.05, 0.45),
)
def test_each_stratum_keeps_a_row_that_trains(
    sizes: list[int], validation: float, test: float
) -> None:
    for size, share in zip(sizes, share_rows(sizes, validation, test), strict=True):
        assert size - share.validation - share.test >= 1
        if size >= 3:
            assert share.validation >= 1
            assert share.test >= 1


@given(st.lists(st.integers(20, 60), min_size=1, max_size=40), st.floats(0.1, 0.4))
def test_the_total_is_met(sizes: list[int], fraction: float) -> None:
    shares = share_rows(sizes, fraction, fraction)
    assert abs(sum(share.test for share in shares) - sum(sizes) * fraction) <= 1.5
    assert abs(sum(share.validation for share in shares) - sum(sizes) * fraction) <= 1.5
