"""An ensemble is selected by rows that judge it honestly, and keeps its limits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rayml.search.confirm.selection import Limits, Selected, select


def rmse(predictions: Tensor, truth: Tensor) -> Tensor:
    return (predictions - truth).square().mean(-1).sqrt()


def correlation(predictions: Tensor, truth: Tensor) -> Tensor:
    one, other = predictions - predictions.mean(-1, keepdim=True), truth - truth.mean()
    return (one * other).sum(-1) / (one.norm(dim=-1) * other.norm())


def noisy(models: int, rows: int, seed: int, noise: float = 1.0) -> tuple[Tensor, Tensor]:
    """The truth, and models that each miss it by noise of their own."""
    draw = torch.Generator().manual_seed(seed)
    truth = torch.randn(rows, generator=draw)
    return truth + noise * torch.randn(models, rows, generator=draw), truth


def chosen(
    predictions: Tensor,
    truth: Tensor,
    limits: Limits | None = None,
    single: int = 0,
    *,
    otherwise: bool = True,
    latencies: list[float] | None = None,
) -> Selected | None:
    return select(
        predictions,
        truth,
        rmse,
        "minimize",
        latencies=latencies or [1.0] * len(predictions),
        single=single,
        chosen_otherwise=otherwise,
        given=[],
        limits=limits or Limits(),
    )


def test_where_the_rows_choose_the_single_model_too_it_has_no_head_start() -> None:
    """Of noisy models the best on few rows is the best by chance, and their mean is better."""
    gains, beside_a_known = [], []
    for seed in range(20):
        predictions, truth = noisy(12, 120, seed=seed, noise=0.3)
        fresh = torch.Generator().manual_seed(1000 + seed)
        errors = 0.3 * torch.randn(12, 5000, generator=fresh)
        best = int(rmse(predictions, truth).argmin())
        for otherwise, found in ((False, gains), (True, beside_a_known)):
            selected = chosen(predictions, truth, single=best, otherwise=otherwise)
            votes = {best: 1} if selected is None else selected.votes
            total = sum(votes.values())
            mean = sum(count * errors[place] for place, count in votes.items()) / total
            found.append(float(mean.square().mean().sqrt() / errors[best].square().mean().sqrt()))
    # All twelve alike would have .29.
    assert sum(gains) / 20 < 0.45
    assert sum(gains) <= sum(beside_a_known) + 0.2


def test_a_good_model_among_useless_ones_stays_nearly_alone() -> None:
    good, truth = noisy(1, 400, seed=3, noise=0.05)
    useless, _ = noisy(10, 400, seed=4, noise=1.0)
    found = chosen(torch.cat([good, useless]), truth, otherwise=False)
    assert found is None or found.votes[0] >= 0.8 * sum(found.votes.values())


def test_what_fits_the_latency_does_not_replace_a_better_model_that_does_not() -> None:
    good, truth = noisy(1, 400, seed=3, noise=0.3)
    others, _ = noisy(3, 400, seed=3, noise=1.0)
    models = torch.cat([good, others])
    limits = Limits(latency=2.0)
    latencies = [3.0, 0.2, 0.2, 0.2]
    assert chosen(models, truth, limits, otherwise=False, latencies=latencies) is None


@given(models=st.integers(1, 6), rows=st.integers(1, 40), seed=st.integers(0, 100))
def test_a_selection_without_a_single_model_keeps_its_limits(
    models: int, rows: int, seed: int
) -> None:
    predictions, truth = noisy(models, rows, seed=seed)
    found = chosen(predictions, truth, Limits(members=3, latency=2.0), otherwise=False)
    if found is not None:
        assert 2 <= len(found.votes) <= 2
        assert set(found.votes) <= set(range(models))


def test_models_that_err_apart_are_better_together() -> None:
    predictions, truth = noisy(8, 400, seed=0)
    found = chosen(predictions, truth)
    assert found is not None
    assert found.grown
    assert len(found.votes) > 4
    # The mean of k independent errors is smaller by the root of k.
    assert found.score < 0.5 * found.alone
    mean = sum(votes * predictions[place] for place, votes in found.votes.items())
    mean = mean / sum(found.votes.values())
    fresh, same = noisy(8, 400, seed=0)
    assert torch.equal(fresh, predictions)
    assert rmse(mean.unsqueeze(0), same)[0] < 0.5 * rmse(predictions[:1], truth)[0]


def test_a_good_model_has_more_votes_than_a_bad_one() -> None:
    predictions, truth = noisy(3, 2000, seed=1)
    predictions[1] = truth + 0.5 * (predictions[1] - truth)
    predictions[2] = truth + 5.0 * (predictions[2] - truth)
    found = chosen(predictions, truth)
    assert found is not None
    assert max(found.votes, key=lambda place: found.votes[place]) == 1
    assert found.votes.get(2, 0) <= 1


def test_models_that_say_the_same_select_nothing() -> None:
    predictions, truth = noisy(1, 200, seed=2)
    assert chosen(predictions.repeat(5, 1), truth) is None


def test_few_rows_are_not_fooled_by_many_models() -> None:
    """Of models that know nothing one fits 30 rows by chance; other rows show that."""
    wins = 0
    for seed in range(30):
        draw = torch.Generator().manual_seed(seed)
        truth, predictions = torch.randn(30, generator=draw), torch.zeros(40, 30)
        predictions[1:] = torch.randn(39, 30, generator=draw)
        found = chosen(predictions, truth)
        # The single model predicts the mean, which is the best that can be done.
        wins += found is not None
    assert wins <= 6


def test_an_ensemble_that_is_given_is_taken_where_it_is_the_best() -> None:
    predictions, truth = noisy(6, 60, seed=3)
    limits = Limits(votes=2)  # greedy selection may not add the six
    found = select(
        predictions,
        truth,
        rmse,
        "minimize",
        latencies=[1.0] * 6,
        single=0,
        given=[range(6)],
        limits=limits,
    )
    assert found == Selected(dict.fromkeys(range(6), 1), found.score, found.alone, grown=False)
    assert found.score < found.alone


def test_more_may_be_better() -> None:
    predictions, truth = noisy(5, 300, seed=4)
    found = select(
        predictions,
        truth,
        correlation,
        "maximize",
        latencies=[1.0] * 5,
        single=0,
        given=[],
        limits=Limits(),
    )
    assert found is not None
    assert found.score > found.alone


def test_classes_are_averaged_as_probabilities() -> None:
    draw = torch.Generator().manual_seed(5)
    truth = torch.randint(3, (500,), generator=draw)
    logits = torch.nn.functional.one_hot(truth, 3) + torch.randn(6, 500, 3, generator=draw)

    def log_loss(predictions: Tensor, codes: Tensor) -> Tensor:
        return -predictions[:, torch.arange(len(codes)), codes].log().mean(-1)

    found = select(
        logits.softmax(-1),
        truth,
        log_loss,
        "minimize",
        latencies=[1.0] * 6,
        single=2,
        given=[],
        limits=Limits(),
    )
    assert found is not None
    assert found.score < found.alone


@pytest.mark.parametrize("rows", [1, 2, 9])
def test_too_few_rows_select_nothing(rows: int) -> None:
    predictions, truth = noisy(4, rows, seed=6)
    assert chosen(predictions, truth) is None


def test_a_score_that_is_undefined_selects_nothing() -> None:
    predictions, truth = noisy(4, 50, seed=7)
    assert chosen(torch.full_like(predictions, torch.nan), truth) is None


def test_a_model_that_predicts_nan_is_left_out() -> None:
    predictions, truth = noisy(5, 400, seed=8)
    predictions[3, 7] = torch.nan
    found = chosen(predictions, truth)
    assert found is not None
    assert 3 not in found.votes


@settings(max_examples=30, deadline=None)
@given(
    models=st.integers(1, 8),
    seed=st.integers(0, 1000),
    members=st.integers(1, 4),
    votes=st.integers(1, 8),
    latency=st.none() | st.floats(0.5, 5.0),
)
def test_limits_are_kept(
    models: int, seed: int, members: int, votes: int, latency: float | None
) -> None:
    predictions, truth = noisy(models, 40, seed)
    draw = torch.Generator().manual_seed(seed)
    latencies = (0.1 + 2 * torch.rand(models, generator=draw)).tolist()
    found = select(
        predictions,
        truth,
        rmse,
        "minimize",
        latencies=latencies,
        single=0,
        given=[range(models)],
        limits=Limits(votes, members, latency),
    )
    if found is None:
        return
    assert 2 <= len(found.votes) <= members
    assert not found.grown or sum(found.votes.values()) <= votes
    assert latency is None or sum(latencies[each] for each in found.votes) <= latency
    assert found.score < found.alone
