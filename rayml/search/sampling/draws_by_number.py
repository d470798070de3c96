"""The one thing that a sampler may say of itself to a sweep, beside Optuna's interface."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from optuna.samplers import BaseSampler


@runtime_checkable
class DrawsByNumber(Protocol):
    """A sampler whose draws follow from its seed and the number of the trial that asks.

    Such a sampler never draws the same twice in a study, so a resumed sweep builds it with the
    same seed again. Every other sampler gets a new seed there, which is the default of a class
    without this attribute.
    """

    draws_by_number: bool


def draws_by_number(sampler: BaseSampler) -> bool:
    """Whether a sampler says so of itself."""
    return isinstance(sampler, DrawsByNumber) and sampler.draws_by_number
