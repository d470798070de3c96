"""The shapes of models without their memory, and the room that they may take."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from rayml.models.modules.outline import Room, TooManyError, bounded, outline
from rayml.models.nets.mlp import MLP
from rayml.models.nets.resnet import TabularResNet
from rayml.types import FeatureShape

SHAPE = FeatureShape(3, (4, 5))
ROOM = Room(tensors=100, modules=1000, size=1 << 40)


class Looking(nn.Module):
    """Reads a tensor of its own when it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.first = float(self.layer.weight[0, 0])


class Deep(nn.Module):
    """A chain that holds nothing."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        for number in range(depth):
            self.add_module(str(number), nn.ReLU())


@pytest.mark.parametrize("kind", [MLP, TabularResNet])
def test_the_outline_of_a_model_is_that_of_its_weights(kind: type[nn.Module]) -> None:
    made = kind(SHAPE, 2, width=8, depth=3)
    expected = {name: tuple(each.shape) for name, each in made.state_dict().items()}
    assert outline(lambda: kind(SHAPE, 2, width=8, depth=3), ROOM) == expected
    assert outline(lambda: kind(SHAPE, 2, width=8, depth=3), Room.of(expected)) == expected
    with bounded(Room.of(expected)):
        kind(SHAPE, 2, width=8, depth=3)


def test_a_width_of_a_billion_takes_no_memory() -> None:
    found = outline(lambda: nn.Linear(10**9, 10**6), Room(100, 1000, 1 << 60))
    assert found == {"weight": (10**6, 10**9), "bias": (10**6,)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"depth": 10**9, "width": 1}, "more than 100 tensors"),
        ({"depth": 1, "width": 2**44}, "more than 1,099,511,627,776 bytes"),
    ],
)
def test_more_than_there_is_room_for_ends_at_once(arguments: dict[str, int], words: str) -> None:
    with pytest.raises(TooManyError, match=words):
        outline(lambda: MLP(SHAPE, 1, **arguments), ROOM)


def test_modules_without_tensors_are_counted() -> None:
    with pytest.raises(TooManyError, match="1,000 modules"):
        outline(lambda: Deep(10**9), ROOM)
    assert outline(lambda: Deep(10), ROOM) == {}


def test_a_model_that_needs_its_values_has_no_outline() -> None:
    assert outline(Looking, ROOM) is None
    assert outline(lambda: nn.LazyLinear(3), ROOM) is None


def test_other_threads_may_make_what_they_like() -> None:
    made: list[nn.Module] = []
    with bounded(Room(tensors=2, modules=1, size=1 << 20)):
        thread = threading.Thread(target=lambda: made.append(MLP(SHAPE, 1, depth=9)))
        thread.start()
        thread.join()
        with pytest.raises(TooManyError):
            MLP(SHAPE, 1, depth=9)
    assert len(made) == 1
    assert torch.isfinite(MLP(SHAPE, 1).head.weight).all()
