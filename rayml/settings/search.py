"""Settings of what a search seeks and what it may spend, checked when they are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic
from pydantic import BeforeValidator, Field

from rayml.settings.decide import DecideSettings
from rayml.types import Compile, Count, Direction, Name, NonNegative, Positive, Size, settings


@settings
class ObjectiveSettings:
    """A further objective of a search, beside `task.metric`.

    Attributes:
        metric: a metric of the task or the user's, `loss`, `parameters` or `train_seconds`.
        direction: which values are better, for a metric that does not say so itself.
    """

    metric: Annotated[str, Field(min_length=1)]
    direction: Direction | None = None


def _named(entry: Any) -> Any:
    return {"metric": entry} if isinstance(entry, str) else entry


# A name alone is enough where the metric has a direction of its own.
ObjectiveEntry = Annotated[ObjectiveSettings, BeforeValidator(_named)]


@settings
class BoundSettings:
    """The values of a quantity that a trial may have, the bounds included."""

    min: float | None = None
    max: float | None = None

    @pydantic.model_validator(mode="after")
    def _bounds(self) -> BoundSettings:
        if self.min is None and self.max is None:
            raise ValueError("the constraint has no bound; set its min, its max, or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min={self.min:g} is above max={self.max:g}; exchange them")
        return self


@settings
class CohortSettings:
    """How trials of one structure train together.

    Attributes:
        lanes: trials of a cohort at most; `auto` measures how many train fastest, and 1 trains
            every trial by itself.
        fillings: how many times its lanes a cohort is given, before its worker turns to another
            structure. More keep it full for longer, fewer look at more structures. Cohorts of
            `auto` lanes that look at a new structure are small and filled once.
        compile: `auto` compiles the training of a cohort (torch.compile, on a GPU with CUDA
            graphs) where its predicted work pays for that; `always` and `never` do not ask. What
            is compiled serves as many lanes as it begins with, while they read the same batches.
    """

    lanes: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = "auto"
    fillings: Annotated[int, Field(ge=1)] = 2
    compile: Compile = "auto"


@settings
class PopulationSettings:
    """How the lanes of a cohort train as a population (Jaderberg et al. 2017).

    Attributes:
        interval: epochs from one selection to the next.
        quantile: share of the lanes that are the worst, and that are the best; each of the
            worst goes on as a copy of one of the best.
        perturb: factor that a copy's searched numbers are multiplied or divided by.
        resample: probability that one of them is drawn anew instead.
    """

    interval: Annotated[int, Field(ge=1)] = 1
    quantile: Annotated[float, Field(gt=0, le=0.5)] = 0.25
    perturb: Annotated[float, Field(gt=1)] = 1.2
    resample: Annotated[float, Field(ge=0, le=1)] = 0.25


@settings
class PriceSettings:
    """What an hour of one CPU core and of one GPU costs, in a unit of the user's."""

    cpu_hour: NonNegative = 0.0
    gpu_hour: NonNegative = 0.0


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
        min_epochs: no trial is stopped before; as everywhere, what follows `train.eval_steps`
            counts as an epoch where `train.steps` is set.
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
class IntervalSettings:
    """How a bundle learns to answer with regions that hold the truth with a given probability.

    Attributes:
        rows: validation rows at most whose scores are kept; 0 keeps none.
        group: column of categories or truth values, each of which has scores of its own; None
            takes all rows together.
    """

    rows: Annotated[int, Field(ge=0, le=20_000)] = 10_000
    group: Annotated[str, Field(min_length=1)] | None = None

    @pydantic.model_validator(mode="after")
    def _has_rows(self) -> IntervalSettings:
        if self.group is not None and not self.rows:
            raise ValueError(
                f"group={self.group} is set with rows=0, which keeps no scores; raise rows, or"
                " remove group"
            )
        return self


@settings
class ConfirmSettings:
    """How the winner of a sweep is confirmed.

    Attributes:
        top: best trials that are trained again; 0 confirms nothing, and the best trial wins.
        seeds: trainings of each of them, every one with its own initialisation, dropout and
            batch order; 0 trains none, and the ensemble is selected among the sweep's own models.
            With folds the models of all folds count, so that one seed of five folds is as good as
            five.
        ensemble: models of the winner that are served together; None serves one. `greedy` selects
            among all models of the sweep and of the confirmation, where that does better on rows
            that did not select (Caruana et al. 2004).
        members: different models of a selected ensemble at most; with folds each of them is one
            a fold.
        max_latency_ms: time of one row through all of them at most, as it is measured here; None
            sets no limit.
        seconds: of predicting by the models that an ensemble is selected among; the best of them
            come first, and those that are left then are not looked at. None sets no limit.
        intervals: see `IntervalSettings`.
        calibrate: `auto` divides the log-probabilities of a classifier by a temperature that is
            fitted on validation, where that makes its log loss on other rows smaller; `none` leaves
            them.
        decide: which class is answered, see `DecideSettings`.
    """

    top: Size = 3
    seeds: Size = 5
    ensemble: Annotated[int, Field(ge=2)] | Literal["greedy"] | None = None
    members: Annotated[int, Field(ge=1, le=100)] = 12
    max_latency_ms: Positive | None = 2.0
    seconds: Positive | None = None
    intervals: IntervalSettings = Field(default_factory=IntervalSettings)
    calibrate: Literal["auto", "none"] = "auto"
    decide: DecideSettings = Field(default_factory=DecideSettings)

    @pydantic.model_validator(mode="after")
    def _enough(self) -> ConfirmSettings:
        if self.seeds == 1:
            raise ValueError("seeds=1 does not show how results vary by seed; set 2 or more")
        if not self.seeds and self.top and self.ensemble != "greedy":
            raise ValueError(
                "seeds=0 trains no candidate again, which ensemble=greedy alone allows; set"
                " ensemble=greedy, or seeds to 2 or more"
            )
        if self.ensemble is not None and not self.top:
            raise ValueError(
                f"ensemble={self.ensemble} is set with top=0, and an ensemble is made of confirmed"
                " seeds; set top to 1 or more"
            )
        if isinstance(self.ensemble, int) and self.ensemble > self.seeds:
            raise ValueError(
                f"ensemble={self.ensemble} is more than seeds={self.seeds}; raise seeds, or lower"
                " ensemble"
            )
        return self


@settings
class SearchSettings:
    """How a sweep searches.

    Attributes:
        name: of the sweep; None makes one from the data, the model and the time.
        trials: trials at most; None sets no limit, where another budget ends the sweep.
        seconds: wall-clock budget; None sets none.
        epochs: budget of epochs, summed over all trials; None sets none.
        cost: budget of the workers' time at `prices`; None sets none.
        prices: what the resources of a trial cost.
        objectives: what is optimised beside `task.metric`, which stays the first objective.
        constraints: bounds that a trial keeps, by metric or measured quantity.
        concurrency: trials in progress at most; None takes what the cluster's resources allow.
        resources: of one trial.
        max_failures: restarts of a cohort whose worker died.
        cohort: see `CohortSettings`.
        sampler: see `SamplerSettings`.
        pruner: see `PrunerSettings`.
        storage: URL of a database that the study is written to as well, for shared use; None
            keeps it in the sweep's folder alone.
        warm_start: names of sweeps whose trials inform this one.
        suggestions: what the first trials are: values by dotted key, those of the config where a
            suggestion has none. One that the space does not hold is named and not tried. The pruner
            stops none of them.
        tracking: see `TrackingSettings`.
        deterministic: whether a run on the same machine gives the same trials and values again,
            however long anything takes. Cohorts then wait for one another, and hold 32 lanes at
            most where `cohort.lanes` is `auto`.
        population: see `PopulationSettings`; None trains each trial for itself.
    """

    name: Name | None = None
    trials: Count | None = 20
    seconds: Positive | None = None
    epochs: Count | None = None
    cost: Positive | None = None
    prices: PriceSettings = Field(default_factory=PriceSettings)
    objectives: tuple[ObjectiveEntry, ...] = ()
    constraints: Mapping[str, BoundSettings] = Field(default_factory=dict)
    concurrency: Count | None = None
    resources: ResourceSettings = Field(default_factory=ResourceSettings)
    max_failures: Size = 3
    cohort: CohortSettings = Field(default_factory=CohortSettings)
    sampler: SamplerSettings = Field(default_factory=SamplerSettings)
    pruner: PrunerSettings = Field(default_factory=PrunerSettings)
    storage: str | None = None
    warm_start: tuple[str, ...] = ()
    suggestions: tuple[Mapping[str, Any], ...] = ()
    tracking: TrackingSettings = Field(default_factory=TrackingSettings)
    deterministic: bool = False
    population: PopulationSettings | None = None

    @pydantic.model_validator(mode="after")
    def _ends(self) -> SearchSettings:
        if self.trials is self.seconds is self.epochs is self.cost is None:
            raise ValueError(
                "trials, seconds, epochs and cost are all null, so that the search never ends; set"
                " one of them"
            )
        return self
