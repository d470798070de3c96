"""The ancestry of a trial of a population: whose weights it went on from, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayml.search.space.parameter import Params


@dataclass(frozen=True, slots=True)
class Descent:
    """A trial that went on as a copy of another one.

    Attributes:
        epoch: after which it did.
        source: number of the trial whose weights and optimizer state it took.
        params: its searched values from then on.
    """

    epoch: int
    source: int
    params: Params

    def to_json(self) -> dict[str, Any]:
        """As the study records it."""
        return {"epoch": self.epoch, "from": self.source, "params": dict(self.params)}

    @classmethod
    def from_json(cls, recorded: Mapping[str, Any]) -> Descent:
        """The inverse of `to_json`."""
        return cls(recorded["epoch"], recorded["from"], recorded["params"])


@dataclass(frozen=True, slots=True)
class Ancestry:
    """The values that a trial was asked with, and its descents in order."""

    params: Params
    descents: tuple[Descent, ...] = ()

    def params_after(self, epoch: int) -> Params:
        """Its searched values once it had finished an epoch; 0 gives those it began with."""
        later = [each.params for each in self.descents if each.epoch <= epoch]
        return later[-1] if later else self.params

    def params_in(self, epoch: int | None) -> Params:
        """The searched values that an epoch was trained with; None gives those it began with."""
        return self.params if epoch is None else self.params_after(epoch - 1)

    def then(self, epoch: int, descent: Descent | None) -> Ancestry:
        """With what happened after an epoch, in place of what was recorded of it and later."""
        kept = tuple(each for each in self.descents if each.epoch < epoch)
        return Ancestry(self.params, kept if descent is None else (*kept, descent))


@dataclass(frozen=True, slots=True)
class Stretch:
    """Epochs of a schedule that one trial trained with the same values.

    Attributes:
        first: epoch, from 1.
        last: epoch, that included.
        trial: its number.
        params: its searched values.
    """

    first: int
    last: int
    trial: int
    params: Params


def schedule(number: int, epoch: int, family: Mapping[int, Ancestry]) -> tuple[Stretch, ...]:
    """How the weights that a trial had after an epoch came about, from the first epoch on.

    Args:
        number: of the trial.
        epoch: from 1.
        family: of the trials of its cohort.
    """
    past = [each for each in family[number].descents if each.epoch < epoch]
    if not past:
        return (Stretch(1, epoch, number, family[number].params),)
    last = past[-1]
    # After an epoch the worst copy the best, none of which copies another then.
    before = schedule(last.source, last.epoch, family)
    return (*before, Stretch(last.epoch + 1, epoch, number, last.params))


def read_descents(recorded: Sequence[Mapping[str, Any]]) -> tuple[Descent, ...]:
    """The descents that a study recorded of a trial."""
    return tuple(map(Descent.from_json, recorded))
