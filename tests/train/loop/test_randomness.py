import torch

from rayml.train.loop.randomness import Randomness

CPU = torch.device("cpu")


def test_draws_go_on_inside_and_are_unknown_outside():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    own = Randomness(CPU)
    torch.manual_seed(5)
    outside = torch.get_rng_state()
    with own.active():
        first = torch.rand(2)
    assert torch.equal(torch.get_rng_state(), outside)
    torch.rand(100)
    with own.active():
        second = torch.rand(2)
    assert torch.equal(torch.cat([first, second]), expected)
