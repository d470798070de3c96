import pytest
import torch
from torch import nn

from rayml.errors import ConfigError
from rayml.models.layers.dropout import Dropout, dropout_keys, set_dropout_keys


def masks(p: float, rows: int, units: int, seed: int = 0, step: int = 0) -> torch.Tensor:
    layer = Dropout(units, p)
    set_dropout_keys([layer], seed, step)
    return layer(torch.ones(rows, units))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_drops_the_asked_share_and_keeps_the_mean(p):
    result = masks(p, 1024, 512)
    deviation = (p * (1 - p) / result.numel()) ** 0.5
    assert float((result == 0).float().mean()) == pytest.approx(p, abs=5 * deviation)
    assert torch.unique(result).tolist() == pytest.approx([0, 1 / (1 - p)])


@pytest.mark.parametrize(("rows", "units"), [(64, 64), (256, 128)])
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_a_mask_has_the_spectrum_of_a_random_matrix(rows, units, p):
    for step in range(5):
        mask = (masks(p, rows, units, step=step) > 0).double()
        centred = (mask - (1 - p)) / (p * (1 - p)) ** 0.5
        # Marchenko-Pastur: the norm of a random matrix is close to sqrt(rows) + sqrt(units).
        norm = float(torch.linalg.matrix_norm(centred, 2))
        assert norm / (rows**0.5 + units**0.5) < 1.15


def test_units_are_not_correlated_over_steps():
    signs = torch.cat([masks(0.5, 64, 128, step=step) - 1 for step in range(200)]).double()
    scores = (signs.T @ signs) / len(signs) ** 0.5
    scores.fill_diagonal_(0)
    assert float(scores.abs().max()) < 6


def test_masks_follow_from_seed_step_and_layer_alone():
    first = masks(0.5, 32, 32, seed=3, step=7)
    assert torch.equal(first, masks(0.5, 32, 32, seed=3, step=7))
    assert not torch.equal(first, masks(0.5, 32, 32, seed=4, step=7))
    assert not torch.equal(first, masks(0.5, 32, 32, seed=3, step=8))
    layers = [Dropout(32, 0.5), Dropout(32, 0.5)]
    set_dropout_keys(layers, 3, 7)
    one, two = (layer(torch.ones(32, 32)) for layer in layers)
    assert torch.equal(one, first)
    assert not torch.equal(two, first)


def test_evaluation_and_zero_probability_change_nothing():
    x = torch.randn(4, 3)
    assert Dropout(3, 0.5).eval()(x) is x
    assert Dropout(3, 0.0)(x) is x


def test_a_lane_drops_what_it_would_drop_alone():
    layers = [Dropout(32, p) for p in (0.1, 0.4, 0.8)]
    for seed, layer in enumerate(layers):
        set_dropout_keys([layer], seed, 5)
    x = torch.randn(3, 16, 32)
    alone = torch.stack([layer(each) for layer, each in zip(layers, x, strict=True)])
    names = ("limit", "scale", "key")
    own = {name: torch.stack([getattr(layer, name) for layer in layers]) for name in names}

    def lane(own: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layers[0], own, (x,))

    assert torch.equal(torch.vmap(lane)(own, x), alone)


def test_its_buffers_are_no_weights():
    assert nn.Sequential(Dropout(3, 0.5)).state_dict() == {}


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5])
def test_a_probability_outside_its_range_is_refused(p):
    with pytest.raises(ConfigError, match=r"\[0, 1\)"):
        Dropout(3, p)


def test_keys_of_many_trials_are_those_of_each():
    seeds, first = [0, 7, 2**63 + 5], [0, 11, 400]
    keys = dropout_keys(seeds, first, steps=3, layers=2)
    layers = [Dropout(4, 0.5), Dropout(4, 0.5)]
    for trial, seed in enumerate(seeds):
        for step in range(3):
            set_dropout_keys(layers, seed, first[trial] + step)
            assert keys[step, :, trial].tolist() == [int(layer.key) for layer in layers]
