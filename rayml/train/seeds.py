"""Trains one configuration over several seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rayml.errors import DivergedError
from rayml.train.build import build_loop, is_estimator, train_settings
from rayml.train.seed_results import FailedSeed, SeedResult, seeded
from rayml.types import Examples, FeatureShape, TargetInfo

if TYPE_CHECKING:
    from rayml.data.split.folds import Folds
    from rayml.train.loop.streaming import ParquetSplit
    from rayml.train.trial_loop import TrialLoop


def train_seeds(
    config: Mapping[str, Any],
    seeds: Sequence[int],
    *,
    train: Examples | ParquetSplit,
    validation: Examples | ParquetSplit,
    shape: FeatureShape,
    target: TargetInfo,
    threads: int = 1,
    folds: Folds | None = None,
) -> Iterator[SeedResult | FailedSeed]:
    """Train a configuration to its end once for each seed.

    Every seed has its own initialisation, dropout and batch order; a seed's result does not
    depend on the others, up to the rounding of float32. Seeds train together as lanes where the
    data are in memory and the models can be stacked, else one after another.

    Args:
        config: of the trial, whose own seed is not used.
        seeds: distinct numbers.
        train: the training split, in memory or on disk.
        validation: the validation split, in memory or on disk.
        shape: of the features.
        target: what is predicted.
        threads: CPU threads that an estimator may use.
        folds: of the training rows, each of which has a model of every seed.

    Yields:
        One result a seed, as soon as it is trained; one that diverges does not stop the others.

    Raises:
        ConfigError: any part of the config is wrong.
    """
    # The driver imports this module and needs no PyTorch, so what loads it is imported here.
    left = list(seeds)
    if (
        (len(seeds) > 1 or (seeds and folds is not None))
        and isinstance(train, Examples)
        and isinstance(validation, Examples)
        and not is_estimator(config["model"])
    ):
        for result in _stacked(config, seeds, train, validation, shape, target, folds):
            left.remove(result.seed)
            yield result
    from rayml.train.speed.process import reset_process

    for seed in left:
        own = seeded(config, seed)
        reset_process(train_settings(own["train"]))
        loop = build_loop(
            own,
            train=train,
            validation=validation,
            shape=shape,
            target=target,
            threads=threads,
            folds=folds,
        )
        yield _alone(seed, loop)


def _stacked(
    config: Mapping[str, Any],
    seeds: Sequence[int],
    train: Examples,
    validation: Examples,
    shape: FeatureShape,
    target: TargetInfo,
    folds: Folds | None,
) -> Iterator[SeedResult | FailedSeed]:
    from rayml.train.seed_lanes import stacked_seeds

    lanes = stacked_seeds(
        config, seeds, train=train, validation=validation, shape=shape, target=target, folds=folds
    )
    if lanes is None:
        return
    # An error of the user's code is raised again by the seeds that then train alone.
    with suppress(Exception):
        yield from lanes.train()


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
