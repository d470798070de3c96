"""Small frozen value classes shared by the rooms.

Two kinds live here. Plain values pass between rooms: `Features`, `Examples`, `FeatureShape`,
`TargetInfo`. Settings are what a config holds for a room, checked when they are made, so that
a room takes typed values and never a config.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform

import numpy as np
import numpy.typing as npt
import pydantic
from pydantic import AfterValidator, Field

TaskName = str
"""The name of a task, see `rayml.tasks.table`."""
Kind = Literal["numeric", "categorical", "boolean", "timestamp"]
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
"""The name of a sweep or a model, which is that of a folder."""

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


# ---------------------------------------------------------------- values


@dataclass(frozen=True, slots=True)
class FeatureShape:
    """Shape of one prepared row.

    Attributes:
        numeric: number of float columns.
        cardinalities: for each categorical column the number of its codes, the code 0 of
            unknown and missing values included.
    """

    numeric: int
    cardinalities: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Features:
    """Prepared features of some rows.

    Attributes:
        numeric: float32, shape [rows, numeric].
        categorical: int64 codes, shape [rows, categorical columns].
        odd: whether a value may be unlike those of training, see `rayml.data.fit.oddities`; false
            where nobody looked.
    """

    numeric: npt.NDArray[np.float32]
    categorical: npt.NDArray[np.int64]
    odd: bool = False

    def __len__(self) -> int:
        return len(self.numeric)


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


# ---------------------------------------------------------------- settings of data


@settings
class SchemaSettings:
    """What the user says of the columns; the rest is inferred.

    Attributes:
        kinds: kind of a column where the inferred one is wrong.
        ignore: columns that are no features.
        groups: columns whose values tell groups apart when fairness is measured.
        missing: texts that say that a value is missing, besides those of the source, such as
            `nulls` of a CSV file; the endpoint reads them in the same way.
        private: columns whose values are shown nowhere: not by the endpoint, in the model card, in
            tables and messages of preparing, nor in the profile of a bundle.
        max_published: categories of a column are published if it has at most so many different
            values; of numbers and times of more a coarse range. Those of columns that look like
            identifiers never are.
    """

    kinds: Mapping[str, Kind] = Field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    max_published: Size = 100


@settings
class SplitSettings:
    """How rows are given to train, validation and test.

    Attributes:
        method: `given` reads the split from `column`; `random` and `stratified` (by the
            target) draw rows by a hash of their content; `group` keeps equal values of
            `column` together; `time` sorts by `column`, the latest rows for test. `auto` is
            `given` where the source names files for each split, else `stratified` for classes
            and `random` for a regression.
        column: the column that `given`, `group` and `time` read.
        validation: fraction of all rows (of the given training rows where `given` names no
            validation rows).
        test: fraction of all rows; unused by `given`.
        seed: of the hash.
    """

    method: Literal["auto", "given", "random", "stratified", "group", "time"] = "auto"
    column: str | None = None
    validation: Fraction = 0.2
    test: Fraction = 0.2
    seed: int = 0


@settings
class PreprocessSettings:
    """How features are prepared.

    Attributes:
        numeric: `standard` subtracts the mean and divides by the standard deviation;
            `quantile` maps to a normal distribution by ranks; `none` leaves values as they are.
        quantiles: number of reference points of the `quantile` map.
        max_categories: at most so many categories a column are kept, the frequent ones first.
        min_count: a category seen less often on the training split counts as unknown.
        missing_indicators: add a 0/1 column for each numeric column that misses values.
    """

    numeric: Literal["standard", "quantile", "none"] = "standard"
    quantiles: Annotated[int, Field(ge=2, le=10_000)] = 256
    max_categories: Count = 1000
    min_count: Count = 1
    missing_indicators: bool = True


# ---------------------------------------------------------------- settings of training


@settings
class OptimizerSettings:
    """The optimizer of a trial.

    In a config it may also be a component node, `{_target_: shop.optim.Mine, lr: 0.1, …}`: a
    subclass of `torch.optim.Optimizer` with plain arguments, of which it gets those keys of
    rayml's own (`lr`, `weight_decay`, …) that its constructor names. Such a trial trains alone.

    Attributes:
        name: `adamw` (Loshchilov & Hutter 2019) or `sgd` with Nesterov momentum.
        lr: peak learning rate.
        weight_decay: decoupled for `adamw`, L2 for `sgd`.
        beta1: of `adamw`.
        beta2: of `adamw`.
        momentum: of `sgd`.
        target: dotted path of the user's class; None takes the one of `name`.
        arguments: of that class.
    """

    name: Literal["adamw", "sgd"] = "adamw"
    lr: Positive = 1e-3
    weight_decay: NonNegative = 1e-2
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    target: str | None = None
    arguments: Mapping[str, Any] = Field(default_factory=dict)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _users(cls, given: Any) -> Any:
        """Read a component node."""
        if not isinstance(given, Mapping) or "_target_" not in given:
            return given
        arguments = {key: value for key, value in given.items() if key != "_target_"}
        return {"target": given["_target_"], "arguments": arguments}


@settings
class ScheduleSettings:
    """How the learning rate changes over the steps of a trial.

    Attributes:
        name: `cosine` falls to zero, `constant` stays.
        warmup: fraction of all steps over which the rate rises linearly from zero.
    """

    name: Literal["cosine", "constant"] = "cosine"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0


@settings
class TrainSettings:
    """How one trial is trained.

    Attributes:
        epochs: passes over the training split at most.
        batch_size: rows a step.
        eval_batch_size: rows a step of evaluation.
        optimizer: see `OptimizerSettings`.
        schedule: see `ScheduleSettings`.
        clip_norm: the gradient's norm is clipped to this; None leaves it.
        label_smoothing: of the losses of classes.
        patience: stop after so many epochs without a better metric; None never stops.
        seed: of initialisation, batch order and dropout.
        device: `auto` takes a GPU where the trial was given one.
        threads: CPU threads of a trial's process.
        precision: of the products of matrices in training. `auto` takes bfloat16 for lanes of a
            cohort on a GPU where it is measured to be faster, and float32 elsewhere. Weights,
            moments and losses are float32 always.
    """

    epochs: Count = 20
    batch_size: Count = 256
    eval_batch_size: Count = 8192
    optimizer: OptimizerSettings = Field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    clip_norm: Positive | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    patience: Count | None = None
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Count = 1
    precision: Literal["auto", "float32", "bfloat16"] = "auto"


# ---------------------------------------------------------------- settings of the search


def _component(given: Any, own: tuple[str, ...]) -> Any:
    """Read a component node: rayml's own settings stay, the other keys are its arguments.

    A config is composed of defaults, so a node has rayml's own keys beside those that the user
    wrote.
    """
    if not isinstance(given, Mapping) or "_target_" not in given:
        return given
    arguments = {key: value for key, value in given.items() if key not in {"_target_", *own}}
    kept = {key: value for key, value in given.items() if key in own}
    return {**kept, "target": given["_target_"], "arguments": arguments}


@settings
class SamplerSettings:
    """The sampler, which proposes the parameters of trials.

    In a config it may also be a component node, `{_target_: shop.samplers.Mine, …}`: a subclass
    of `optuna.samplers.BaseSampler`. Its constructor gets the node's arguments, the config's
    `seed` and `startup_trials` where it names them.

    Attributes:
        name: `tpe` (`rayml.search.sampling.tpe`), or one of Optuna's samplers, its TPE being
            `optuna_tpe`.
        startup_trials: random trials before a model-based sampler begins.
        options: further arguments of the sampler's class.
        target: dotted path of the user's class; None takes the one of `name`.
        arguments: of that class.
    """

    name: Literal["tpe", "optuna_tpe", "random", "grid", "qmc", "cmaes", "gp", "nsga2"] = "tpe"
    startup_trials: Size = 10
    options: Mapping[str, Any] = Field(default_factory=dict)
    target: str | None = None
    arguments: Mapping[str, Any] = Field(default_factory=dict)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _users(cls, given: Any) -> Any:
        return _component(given, ("name", "startup_trials", "options"))

    @property
    def kind(self) -> str:
        """The name, or the user's class."""
        return self.target or self.name


@settings
class PrunerSettings:
    """The pruner, which decides which trials are stopped early.

    In a config it may also be a component node, `{_target_: shop.pruners.Mine, …}`: a class with
    the methods of `rayml.search.pruning.pruning.Pruner`. Its constructor gets the node's
    arguments, and `max_epochs`, `min_epochs`, `reduction` and `startup_trials` where it names
    them.

    Attributes:
        name: `asha` (asynchronous successive halving, Li et al. 2020), `hyperband` (several
            brackets of it), `median`, or `none`.
        min_epochs: no trial is stopped before.
        reduction: of the trials that reach a rung one in so many goes on.
        startup_trials: `median` stops nothing before so many trials have finished.
        target: dotted path of the user's class; None takes the one of `name`.
        arguments: of that class.
    """

    name: Literal["asha", "hyperband", "median", "none"] = "asha"
    min_epochs: Count = 1
    reduction: Annotated[int, Field(ge=2)] = 4
    startup_trials: Size = 5
    target: str | None = None
    arguments: Mapping[str, Any] = Field(default_factory=dict)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _users(cls, given: Any) -> Any:
        return _component(given, ("name", "min_epochs", "reduction", "startup_trials"))

    @property
    def kind(self) -> str:
        """The name, or the user's class."""
        return self.target or self.name

    @property
    def known(self) -> dict[str, int]:
        """The settings that a user's class may name."""
        return {
            "min_epochs": self.min_epochs,
            "reduction": self.reduction,
            "startup_trials": self.startup_trials,
        }


@settings
class TrackingSettings:
    """Where else a sweep's trials are recorded.

    Attributes:
        tensorboard: write event files for TensorBoard into the sweep's folder.
        mlflow: tracking URI of MLflow, such as `sqlite:///mlflow.db` or a server's address.
    """

    tensorboard: bool = False
    mlflow: Annotated[str, Field(min_length=1)] | None = None


@settings
class ResourceSettings:
    """What one trial takes of the cluster: CPU cores, and GPUs or shares of one."""

    cpu: Positive = 1.0
    gpu: NonNegative = 0.0


@settings
class ConfirmSettings:
    """How the winner of a sweep is confirmed.

    Attributes:
        top: best trials that are trained again; 0 confirms nothing, and the best trial wins.
        seeds: trainings of each of them, every one with its own initialisation, dropout and
            batch order.
        ensemble: models of the winner that are served together; None serves one.
    """

    top: Size = 3
    seeds: Annotated[int, Field(ge=2)] = 5
    ensemble: Annotated[int, Field(ge=2)] | None = None

    @pydantic.model_validator(mode="after")
    def _enough(self) -> ConfirmSettings:
        if self.ensemble is not None and not self.top:
            raise ValueError(
                f"ensemble={self.ensemble} is set with top=0, and an ensemble is made of confirmed"
                " seeds; set top to 1 or more"
            )
        if self.ensemble is not None and self.ensemble > self.seeds:
            raise ValueError(
                f"ensemble={self.ensemble} is more than seeds={self.seeds}; raise seeds, or lower"
                " ensemble"
            )
        return self
