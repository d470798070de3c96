from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rayml.tasks.metrics import BINARY, MULTICLASS, binary_accuracy, binary_auroc, rmse
from rayml.tasks.paired import RESAMPLES, compare

GENERATOR = torch.Generator().manual_seed(1)
TRUTH = torch.randint(0, 2, (400,), generator=GENERATOR)


def noisy(noise: float) -> torch.Tensor:
    logits = 2.0 * TRUTH - 1 + noise * torch.randn(400, generator=GENERATOR)
    return logits.sigmoid().double()


@pytest.mark.parametrize("name", ["accuracy", "auroc", "f1"])
def test_a_much_better_model_is_told_from_a_worse_one(name: str) -> None:
    measure = BINARY[name]
    good, bad = noisy(0.5), noisy(5.0)
    found = compare(measure, "maximize", good, bad, TRUTH, stacked=True)
    back = compare(measure, "maximize", bad, good, TRUTH, stacked=True)
    assert found is not None
    assert back is not None
    assert 0 < found.low < found.one - found.other < found.high
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))


def test_the_same_predictions_do_not_differ() -> None:
    same = noisy(1.0)
    found = compare(binary_auroc, "maximize", same, same, TRUTH, stacked=True)
    assert found is not None
    assert (found.low, found.high) == (0, 0)


def test_less_is_better_where_the_metric_is_minimised() -> None:
    truth = torch.arange(100).double()
    found = compare(rmse, "minimize", truth + 1, truth + 3, truth, stacked=True)
    assert found is not None
    assert (found.one, found.other) == (1, 3)
    assert (found.low, found.high) == pytest.approx((2, 2))


def test_a_metric_that_is_not_defined_compares_nothing() -> None:
    none = torch.zeros(50, dtype=torch.int64)
    guess = torch.rand(50, dtype=torch.float64)
    assert compare(binary_auroc, "maximize", guess, guess, none, stacked=True) is None
    one = none.clone()
    one[0] = 1  # a third of the resamples have no positive row
    assert compare(binary_auroc, "maximize", guess, guess, one, stacked=True) is None


def test_a_metric_of_one_model_at_a_time_gives_the_same() -> None:
    good, bad = noisy(0.5), noisy(2.0)
    stacked = compare(binary_accuracy, "maximize", good, bad, TRUTH, stacked=True)
    single = compare(
        lambda p, t: float(binary_accuracy(p, t)), "maximize", good, bad, TRUTH, stacked=False
    )
    assert stacked == single


def test_many_rows_are_resampled_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rayml.tasks.paired._VALUES_AT_ONCE", 4000)
    classes = torch.randint(0, 3, (400,), generator=GENERATOR)
    one = torch.rand(400, 3, generator=GENERATOR, dtype=torch.float64).softmax(-1)
    found = compare(MULTICLASS["log_loss"], "minimize", one, one.flip(-1), classes, stacked=True)
    assert found is not None
    assert found.low < found.high


@settings(max_examples=20)
@given(st.integers(30, 120), st.integers(0, 5))
def test_the_interval_covers_what_a_long_way_round_finds(rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = torch.from_numpy(rng.integers(0, 2, rows))
    one, other = (torch.from_numpy(rng.random(rows)) for _ in range(2))
    found = compare(binary_accuracy, "maximize", one, other, truth, stacked=True)
    assert found is not None
    gains = ((one > 0.5) == truth.bool()).double() - ((other > 0.5) == truth.bool()).double()
    draws = [gains[rng.integers(0, rows, rows)].mean().item() for _ in range(RESAMPLES)]
    low, high = np.quantile(draws, [0.025, 0.975])
    spread = max(high - low, 2 / rows)
    assert abs(found.low - low) < 0.3 * spread
    assert abs(found.high - high) < 0.3 * spread
