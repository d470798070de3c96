import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.settings.train import ScheduleSettings
from rayml.train.optimizers.schedule import rate

SCHEDULES = st.builds(
    ScheduleSettings, name=st.sampled_from(["cosine", "constant"]), warmup=st.floats(0, 0.99)
)


@given(SCHEDULES, st.integers(1, 500))
def test_a_rate_is_positive_and_at_most_the_peak(schedule, total):
    rates = [rate(schedule, step, total) for step in range(total)]
    assert all(0 < each <= 1 for each in rates)
    assert max(rates) == 1


@given(SCHEDULES, st.integers(2, 500))
def test_rates_rise_through_the_warm_up_and_never_afterwards(schedule, total):
    rates = [rate(schedule, step, total) for step in range(total)]
    peak = rates.index(1)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_cosine_ends_near_zero_and_constant_at_the_peak():
    assert rate(ScheduleSettings(name="cosine"), 999, 1000) < 1e-5
    assert rate(ScheduleSettings(name="cosine"), 500, 1000) == pytest.approx(0.5)
    assert rate(ScheduleSettings(name="constant"), 999, 1000) == 1
