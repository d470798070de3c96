"""Results of one configuration that is trained over several seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rayml.errors import DivergedError
from rayml.train.build import apply
from rayml.train.loop.results import BestEpoch

if TYPE_CHECKING:
    from torch import Tensor

SEED = "train.seed"


@dataclass(frozen=True, slots=True)
class SeedResult:
    """The result of one seed.

    Attributes:
        seed: of initialisation, dropout and batch order.
        best: the best epoch on validation.
        weights: the model's `state_dict` at that epoch, on the CPU; of an estimator its files,
            as uint8 tensors.
        parameters: number of the model's weights.
        steps: of training, those after the best epoch included.
        seconds: of training and evaluation; of seeds that train together a share.
    """

    seed: int
    best: BestEpoch
    weights: Mapping[str, Tensor]
    parameters: int
    steps: int
    seconds: float


@dataclass(frozen=True, slots=True)
class FailedSeed:
    """A seed that did not train to its end, and why."""

    seed: int
    error: DivergedError


def seeded(config: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """A trial's config with another seed."""
    return apply(config, {SEED: seed})
