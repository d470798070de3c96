"""Trains one configuration over several seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rayml.train.process import reset_process
from rayml.train.results import BestEpoch
from rayml.train.trial import apply, build_loop, train_settings
from rayml.types import Examples, FeatureShape, TargetInfo

if TYPE_CHECKING:
    from torch import Tensor

    from rayml.train.streaming import ParquetSplit

SEED = "train.seed"


@dataclass(frozen=True, slots=True)
class SeedResult:
    """What one seed came to.

    Attributes:
        seed: of initialisation, dropout and batch order.
        best: the best epoch on validation.
        weights: the model's `state_dict` at that epoch, on the CPU.
        parameters: number of the model's weights.
        steps: optimizer steps, those after the best epoch included.
        seconds: of training and evaluation.
    """

    seed: int
    best: BestEpoch
    weights: Mapping[str, Tensor]
    parameters: int
    steps: int
    seconds: float


def train_seeds(
    config: Mapping[str, Any],
    seeds: Sequence[int],
    *,
    train: Examples | ParquetSplit,
    validation: Examples | ParquetSplit,
    shape: FeatureShape,
    target: TargetInfo,
) -> Iterator[SeedResult]:
    """Train a configuration to its end once for each seed.

    Every seed has its own initialisation, dropout and batch order; a seed's result does not
    depend on the others.

    Args:
        config: of the trial; its own seed is not used.
        seeds: in the order of the results.
        train: the training split, in memory or on disk.
        validation: the validation split likewise.
        shape: of the features.
        target: what is predicted.

    Yields:
        One result a seed, as soon as it is there.

    Raises:
        ConfigError: any part of the config is wrong.
        DivergedError: loss or metric of a seed is no longer finite.
    """
    for seed in seeds:
        seeded = apply(config, {SEED: seed})
        reset_process(train_settings(seeded["train"]))
        loop = build_loop(seeded, train=train, validation=validation, shape=shape, target=target)
        steps, seconds = 0, 0.0
        while not loop.finished:
            result = loop.run_epoch()
            steps += result.steps
            seconds += result.train_seconds + result.eval_seconds
        assert loop.best is not None
        yield SeedResult(
            seed=seed,
            best=loop.best,
            weights={name: each.cpu() for name, each in loop.best_weights().items()},
            parameters=sum(each.numel() for each in loop.model.parameters()),
            steps=steps,
            seconds=seconds,
        )
