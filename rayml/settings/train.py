"""Settings of how a trial trains, checked when they are made."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field

from rayml.types import Count, NonNegative, Positive, settings


@settings
class OptimizerSettings:
    """The optimizer of a trial.

    In a config it may also be a component node, `{_target_: shop.optim.Mine, lr: 0.1, …}`: a
    subclass of `torch.optim.Optimizer` with plain arguments, of which it gets those keys of
    rayml's own (`lr`, `weight_decay`, …) that its constructor names. Such a trial trains alone.

    Attributes:
        name: `adamw` (Loshchilov & Hutter 2019), `sgd` with Nesterov momentum, or `muon` (Jordan et
            al. 2024), which trains the matrices of hidden layers in its own way and the rest as
            `adamw`.
        lr: peak learning rate.
        weight_decay: decoupled for `adamw` and `muon`, L2 for `sgd`.
        beta1: of `adamw`, also inside `muon`.
        beta2: of `adamw`, also inside `muon`.
        momentum: of `sgd`.
        muon_lr: peak learning rate of `muon`'s matrices.
        target: dotted path of the user's class; None takes the one of `name`.
        arguments: of that class.
    """

    name: Literal["adamw", "sgd", "muon"] = "adamw"
    lr: Positive = 1e-3
    weight_decay: NonNegative = 1e-2
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    muon_lr: Positive = 0.01
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


ClassWeights = Annotated[
    Mapping[str, Annotated[float, Field(gt=0, le=1e6)]], Field(min_length=1, max_length=1000)
]
_WEIGHT = {"label", "weight"}


@settings
class TrainSettings:
    """How one trial is trained.

    Attributes:
        epochs: passes over the training split at most; of estimators that train by themselves,
            their rounds.
        steps: of the optimizer at most, rounded up to whole stretches of `eval_steps`, in place
            of `epochs`: a trial is as long whatever its batch size. Batches are full then, and go
            on from one pass to the next. Each stretch counts as an epoch: it is followed by an
            evaluation, a report and a checkpoint. Estimators keep `epochs`.
        eval_steps: steps from one evaluation to the next, where `steps` is set.
        batch_size: rows a step.
        eval_batch_size: rows a step of evaluation.
        optimizer: see `OptimizerSettings`.
        schedule: see `ScheduleSettings`.
        clip_norm: the gradient's norm is clipped to this; None leaves it.
        label_smoothing: of the losses of classes.
        class_weights: how much a training row counts by its class: `balanced` has all classes count
            alike, `{yes: 5}` a row of `yes` five times as much as one of another; None has all rows
            count alike. Outputs are corrected for it, so that probabilities stay those of the data;
            which class is answered is a matter of `confirm.decide`.
        ema: decay a step of an exponential moving average of the weights, such as .99; 0 keeps
            none. Both are evaluated after each epoch, and the better ones on validation count.
        patience: stop after so many evaluations, one an epoch or one in `eval_steps` steps,
            without a better metric; None never stops.
        seed: of initialisation, batch order and dropout.
        device: `auto` takes a GPU where the trial was given one.
        threads: CPU threads of a trial's process.
        precision: of the products of matrices in training. `auto` takes bfloat16 for lanes of a
            cohort on a GPU where it is measured to be faster, and float32 elsewhere. Weights,
            moments and losses are float32 always.
    """

    epochs: Count = 20
    steps: Count | None = None
    eval_steps: Count = 100
    batch_size: Count = 256
    eval_batch_size: Count = 8192
    optimizer: OptimizerSettings = Field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    clip_norm: Positive | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_weights: Literal["balanced"] | ClassWeights | None = None
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    patience: Count | None = None
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Count = 1
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    @pydantic.field_validator("class_weights", mode="before")
    @classmethod
    def _by_label(cls, given: Any) -> Any:
        """Read labels that YAML takes for truth values or numbers, and a list of labels.

        A command cannot have every label as a key: `[{label: ">50K", weight: 5}]` is the same.
        """
        if isinstance(given, Sequence) and not isinstance(given, str):
            if not all(isinstance(each, Mapping) and set(each) == _WEIGHT for each in given):
                raise ValueError("an entry of the list is no {label: …, weight: …}")
            pairs = [(each["label"], each["weight"]) for each in given]
        elif isinstance(given, Mapping):
            pairs = list(given.items())
        else:
            return given
        named = [label if isinstance(label, str) else json.dumps(label) for label, _ in pairs]
        if len(set(named)) < len(named):
            raise ValueError("a label is named twice; name each once")
        return dict(zip(named, (weight for _, weight in pairs), strict=True))

    @pydantic.model_validator(mode="after")
    def _evaluates(self) -> Self:
        """Refuse steps that would end before the first evaluation."""
        if self.steps is not None and self.steps < self.eval_steps:
            raise ValueError(
                f"steps={self.steps} end before the first evaluation, which is after"
                f" eval_steps={self.eval_steps}; raise train.steps or lower train.eval_steps"
            )
        return self

    @property
    def stretches(self) -> int:
        """Evaluations of a trial that is not stopped: its epochs, or what its steps hold."""
        return self.epochs if self.steps is None else math.ceil(self.steps / self.eval_steps)

    @property
    def stretch(self) -> int | None:
        """Steps from one evaluation to the next; None: those of a pass over the training split."""
        return None if self.steps is None else self.eval_steps
