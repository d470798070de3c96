"""Small frozen value classes that pass between rooms, and the types that settings are made of."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform

import numpy as np
import numpy.typing as npt
import pydantic
from pydantic import AfterValidator, Field

TaskName = str
"""The name of a task, see `rayml.tasks.table`."""
Kind = Literal["numeric", "categorical", "boolean", "timestamp", "text"]
SplitName = Literal["train", "validation", "test"]
Direction = Literal["minimize", "maximize"]
ClassLabel = str | int | bool
Compile = Literal["auto", "always", "never"]

SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")

Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(gt=0)]
Size = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def _known_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"the name {name[:110]!r} is not allowed; use letters, digits, '.', '_' and '-', begin"
            " with a letter or a digit, and stay within 100 characters"
        )
    return name


Name = Annotated[str, AfterValidator(_known_name)]
"""The name of a sweep or a model, which is also the name of its folder."""

T = TypeVar("T")


@dataclass_transform(
    kw_only_default=True, frozen_default=True, field_specifiers=(Field, dataclasses.field)
)
def settings(cls: type[T]) -> type[T]:
    """Make a frozen dataclass that checks its values and refuses unknown keys."""
    make: Callable[[type[T]], Any] = pydantic.dataclasses.dataclass(
        frozen=True,
        kw_only=True,
        config=pydantic.ConfigDict(extra="forbid", allow_inf_nan=False),
    )
    checked: type[T] = make(cls)
    return checked


MOST_BINS = 128
"""Bins between the quantiles of a column at most."""


@dataclass(frozen=True, slots=True)
class FeatureShape:
    """Shape of one prepared row.

    Attributes:
        numeric: number of float columns.
        cardinalities: for each categorical column the number of its codes, the code 0 of
            unknown and missing values included.
        knots: for each float column its quantiles on the training split at equal steps, the least
            and the greatest value among them; those of a column of a single value may be absent.
            Empty where they are not known.
        missing: for each float column the place of the float column that is 1 where a value of it
            is missing and 0 elsewhere, -1 where none says so; empty where no column has one. The
            missing value itself stands in `Features` as a usual one, such as the mean.
    """

    numeric: int
    cardinalities: tuple[int, ...] = ()
    knots: tuple[tuple[float, ...], ...] = ()
    missing: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Features:
    """Prepared features of some rows.

    Attributes:
        numeric: float32, shape [rows, numeric].
        categorical: int64 codes, shape [rows, categorical columns].
        odd: whether a value may be unlike those of training, see `rayml.data.fit.oddities`; false
            where that was not checked.
    """

    numeric: npt.NDArray[np.float32]
    categorical: npt.NDArray[np.int64]
    odd: bool = False

    def __len__(self) -> int:
        return len(self.numeric)

    def rows(self, places: npt.NDArray[np.int64]) -> Features:
        """Some rows, as copies."""
        return Features(self.numeric[places], self.categorical[places], self.odd)


@dataclass(frozen=True, slots=True)
class Examples:
    """Prepared features with their encoded targets.

    Attributes:
        features: the inputs of a model.
        target: shape [rows]; int64 class codes, or float32 standardised values.
    """

    features: Features
    target: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.target)

    @property
    def nbytes(self) -> int:
        """Bytes of memory of all arrays."""
        parts = (self.features.numeric, self.features.categorical, self.target)
        return sum(part.nbytes for part in parts)

    def rows(self, places: npt.NDArray[np.int64]) -> Examples:
        """Some rows, as copies."""
        return Examples(self.features.rows(places), self.target[places])


@dataclass(frozen=True, slots=True)
class TargetInfo:
    """What the target column means.

    Attributes:
        name: its column.
        task: what is predicted.
        classes: labels in the order of their codes; empty for a number. Of a binary
            task the second one is the positive class.
        mean: of a number on the training split, in its own units.
        scale: standard deviation there; 1 for classes.
    """

    name: str
    task: TaskName
    classes: tuple[ClassLabel, ...] = ()
    mean: float = 0.0
    scale: float = 1.0
