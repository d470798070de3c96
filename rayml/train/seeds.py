"""Trains one configuration over several seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rayml.errors import DivergedError
from rayml.train.loop.results import BestEpoch
from rayml.train.trial import apply, build_loop, is_estimator, train_settings
from rayml.types import Examples, FeatureShape, TargetInfo

if TYPE_CHECKING:
    from torch import Tensor

    from rayml.train.loop.streaming import ParquetSplit
    from rayml.train.trial_loop import TrialLoop

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


def train_seeds(
    config: Mapping[str, Any],
    seeds: Sequence[int],
    *,
    train: Examples | ParquetSplit,
    validation: Examples | ParquetSplit,
    shape: FeatureShape,
    target: TargetInfo,
    threads: int = 1,
) -> Iterator[SeedResult | FailedSeed]:
    """Train a configuration to its end once for each seed.

    Every seed has its own initialisation, dropout and batch order; a seed's result does not
    depend on the others, up to the rounding of float32. Seeds train together as lanes where the
    data are in memory and the models can be stacked, one after another elsewhere.

    Args:
        config: of the trial; its own seed is not used.
        seeds: distinct ones.
        train: the training split, in memory or on disk.
        validation: the validation split, in memory or on disk.
        shape: of the features.
        target: what is predicted.
        threads: CPU threads that an estimator may use.

    Yields:
        One result a seed, as soon as it is there; one that diverges fails alone.

    Raises:
        ConfigError: any part of the config is wrong.
    """
    # Imported here, since both load PyTorch, which the driver does without.
    if (
        len(seeds) > 1
        and isinstance(train, Examples)
        and isinstance(validation, Examples)
        and not is_estimator(config["model"])
    ):
        from rayml.train.seed_lanes import stacked_seeds

        lanes = stacked_seeds(
            config, seeds, train=train, validation=validation, shape=shape, target=target
        )
        if lanes is not None:
            done: set[int] = set()
            try:
                for result in lanes.train():
                    done.add(result.seed)
                    yield result
            except Exception:  # noqa: BLE001 - alone each seed tells the user's error, if it is one
                seeds = [seed for seed in seeds if seed not in done]
            else:
                return
    from rayml.train.speed.process import reset_process

    for seed in seeds:
        own = seeded(config, seed)
        reset_process(train_settings(own["train"]))
        loop = build_loop(
            own,
            train=train,
            validation=validation,
            shape=shape,
            target=target,
            threads=threads,
        )
        yield _alone(seed, loop)


def _alone(seed: int, loop: TrialLoop) -> SeedResult | FailedSeed:
    steps, seconds = 0, 0.0
    while not loop.finished:
        try:
            result = loop.run_epoch()
        except DivergedError as error:
            return FailedSeed(seed, error)
        steps += result.steps
        seconds += result.train_seconds + result.eval_seconds
    assert loop.best is not None
    return SeedResult(
        seed=seed,
        best=loop.best,
        weights={name: each.cpu() for name, each in loop.best_weights().items()},
        parameters=loop.all_parameters,
        steps=steps,
        seconds=seconds,
    )
