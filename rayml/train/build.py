"""From the plain config of a trial to a training loop.

A trial's config is `{"model": node, "task": {…}, "train": {…}}`. Importing this module loads no
PyTorch, so that the process that plans a sweep starts fast.
"""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pydantic

from rayml.config.components.build import TARGET, Node, build, locate
from rayml.config.components.moved import current_name
from rayml.config.components.registered import OWN, OWN_ESTIMATORS, made_class
from rayml.config.problems import problems_of
from rayml.errors import ConfigError, InvalidConfigError, SpaceError
from rayml.models.estimators.estimator import Estimator
from rayml.settings.train import TrainSettings
from rayml.tasks.objectives import Objective
from rayml.tasks.table import build_task, outputs_of, task_type
from rayml.train.families import chosen_model
from rayml.types import Direction, Examples, FeatureShape, TargetInfo, TaskName

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from rayml.data.split.folds import Folds
    from rayml.models.estimators.members import Member
    from rayml.tasks.task import Task
    from rayml.train.lanes.lane import NewLane
    from rayml.train.loop.batches import Batches
    from rayml.train.loop.estimator_loop import EstimatorLoop
    from rayml.train.loop.loop import TrainingLoop
    from rayml.train.loop.streaming import ParquetSplit
    from rayml.train.trial_loop import TrialLoop

SECTIONS = ("model", "task", "train")

_settings = pydantic.TypeAdapter(TrainSettings)


def apply(base: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Replace values of a trial's config, and take the model of the family that it names.

    Args:
        base: the config; it is left as it is.
        params: values by dotted key, such as `train.optimizer.lr`; a list or a mapping may be
            given as its text, see `as_scalar`.

    Raises:
        SpaceError: a key or a family that the config lacks, or a key that lies outside `SECTIONS`.
    """
    config = {section: copy.deepcopy(base[section]) for section in SECTIONS}
    for key, value in params.items():
        *path, leaf = key.split(".")
        node: Any = config
        for part in path:
            node = node.get(part) if isinstance(node, Mapping) else None
        if not path or not isinstance(node, Mapping) or leaf not in node:
            known = ", ".join(node) if isinstance(node, Mapping) else ", ".join(SECTIONS)
            raise SpaceError(
                f"the config of a trial has no key {key!r} to search",
                remedy=f"Take one of {known}",
            )
        node[leaf] = read_scalar(value, node[leaf])  # type: ignore[index]
    return {**config, "model": chosen_model(config["model"])}


def as_scalar(value: Any) -> Any:
    """A value as a study has it, which knows no lists and mappings: these are their JSON text."""
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    return value


def read_scalar(value: Any, base: Any) -> Any:
    """The inverse of `as_scalar`.

    Args:
        value: of a study.
        base: what the config holds in its place; beside a string a text means itself.
    """
    if not isinstance(value, str) or not isinstance(base, Mapping | list | tuple | None):
        return value
    try:
        found = json.loads(value)
    except ValueError:
        return value
    return found if isinstance(found, dict | list) else value


def train_settings(section: Mapping[str, Any]) -> TrainSettings:
    """The section `train` as checked settings.

    Raises:
        InvalidConfigError: unknown keys or bad values, all of them.
    """
    try:
        return _settings.validate_python(dict(section))
    except pydantic.ValidationError as error:
        raise InvalidConfigError(list(problems_of(error, "train."))) from error


def objective(section: Mapping[str, Any], task: TaskName) -> Objective:
    """What the section `task` asks to optimise.

    Raises:
        ConfigError: an unknown metric, or one of the user's that cannot be built.
    """
    return task_type(task).choose_objective(section["metric"], _users_metrics(section))


def known_metrics(section: Mapping[str, Any], task: TaskName) -> dict[str, Direction | None]:
    """Every metric that the section `task` measures, with its direction if it has one.

    Raises:
        ConfigError: a metric of the user's that cannot be built, or under a name that is taken.
    """
    return task_type(task).known_metrics(_users_metrics(section))


def build_trial_task(section: Mapping[str, Any], target: TargetInfo) -> Task:
    """Make the task of the section `task`, the user's metrics included.

    Raises:
        ConfigError: the section names another task than the target's, or a metric is wrong.
    """
    name = section.get("name", target.task)
    if name != target.task:
        raise ConfigError(
            f"task.name is {name!r}, and the data were prepared for the task {target.task!r}",
            remedy="Set data.task and leave task=auto",
        )
    return build_task(target, metric=section["metric"], metrics=_users_metrics(section))


def estimator_of(node: Node) -> type[Estimator] | None:
    """The estimator that the section `model` names, by its class; None if it names a module.

    An estimator trains alone and round by round, a module in lanes and epoch by epoch.

    Raises:
        BuildError: its target does not import.
    """
    path = current_name(str(node.get(TARGET)))
    if path in OWN["model"] - OWN_ESTIMATORS:
        return None  # known without loading PyTorch
    made = made_class(locate(path))
    return made if made is not None and issubclass(made, Estimator) else None


def is_estimator(node: Node) -> bool:
    """Whether the section `model` names an estimator, see `estimator_of`."""
    return estimator_of(node) is not None


def build_model(node: Node, *, shape: FeatureShape, outputs: int) -> nn.Module:
    """Make the PyTorch module of the section `model`.

    Raises:
        BuildError: the node's target does not import, or its arguments do not bind.
        ConfigError: what it makes is no `torch.nn.Module`, or does not take a batch.
    """
    from torch import nn

    from rayml.models.modules.lazy import materialise

    model = build(node, shape=shape, outputs=outputs)
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f"{node[TARGET]} makes a {type(model).__name__}, which is no torch.nn.Module",
            remedy="Name a subclass of torch.nn.Module or of Estimator in model._target_, or a"
            " function that is annotated to return one",
        )
    _require_call(model)
    materialise(model, shape)
    return model


def build_estimator(node: Node, *, shape: FeatureShape, outputs: int) -> Estimator:
    """Make the estimator of the section `model`.

    Raises:
        BuildError: the node's target does not import, or its arguments do not bind.
        ConfigError: what it makes is no estimator.
    """
    made = build(node, shape=shape, outputs=outputs)
    if not isinstance(made, Estimator):
        raise ConfigError(
            f"{node[TARGET]} makes a {type(made).__name__}, which is no Estimator",
            remedy="Correct the function that model._target_ names, or its annotation",
        )
    return made


def build_member(
    config: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    *,
    shape: FeatureShape,
    target: TargetInfo,
) -> Member:
    """Make the trained model of a trial, on the CPU.

    Args:
        config: of the trial.
        weights: of its loop's `best_weights`.
        shape: of the features.
        target: what is predicted.
    """
    from rayml.models.estimators.files import as_files
    from rayml.models.estimators.members import EstimatorMember, ModuleMember
    from rayml.models.modules.pooling import learn_pool

    outputs = outputs_of(target)
    if is_estimator(config["model"]):
        estimator = build_estimator(config["model"], shape=shape, outputs=outputs)
        estimator.load(as_files(weights))
        return EstimatorMember(estimator, outputs)
    model = build_model(config["model"], shape=shape, outputs=outputs)
    learn_pool(model, build_task(target))
    model.load_state_dict(dict(weights))
    return ModuleMember(model, outputs, config["train"]["eval_batch_size"])


def _require_call(model: nn.Module) -> None:
    """Refuse a module that cannot be called with a batch."""
    signature = inspect.signature(model.forward)
    try:
        signature.bind(None, None)
    except TypeError as error:
        code = getattr(model.forward, "__code__", None)
        place = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
        raise ConfigError(
            f"{type(model).__name__}.forward{signature} cannot be called as"
            f" forward(numeric, categorical): {error}{place}",
            remedy="Give its other arguments defaults, or take them in the constructor",
        ) from None


def build_loop(
    config: Mapping[str, Any],
    *,
    train: Examples | ParquetSplit,
    validation: Examples | ParquetSplit,
    shape: FeatureShape,
    target: TargetInfo,
    threads: int = 1,
    folds: Folds | None = None,
) -> TrialLoop:
    """Make the training loop of a trial, its model initialised by the trial's seed.

    Args:
        config: of the trial.
        train: the training split, in memory or on disk.
        validation: the validation split, in memory or on disk.
        shape: of the features.
        target: what is predicted.
        threads: CPU threads that an estimator may use, where `train.threads` are fewer.
        folds: of the training rows, in memory, which then validate in turn; None takes the
            validation split.

    Raises:
        ConfigError: any part of the config is wrong, or asks for a GPU that is absent.
    """
    from rayml.models.modules.pooling import learn_pool
    from rayml.train.folds.sequential import folded_estimators, folded_modules
    from rayml.train.loop.class_weights import require_read, weighed
    from rayml.train.loop.estimator_loop import EstimatorLoop
    from rayml.train.loop.loop import TrainingLoop
    from rayml.train.loop.randomness import seeded

    settings = train_settings(config["train"])
    device = choose_device(settings.device)
    task = weighed(build_trial_task(config["task"], target), settings, train)
    node = config["model"]
    if kind := estimator_of(node):
        require_read(settings, kind)
        # Its rounds are its own: it makes no steps that could be counted.
        settings = replace(settings, threads=max(threads, settings.threads), steps=None)

    def estimator_loop(train: Examples, held: Examples, settings: TrainSettings) -> EstimatorLoop:
        with seeded(settings.seed, device):
            estimator = build_estimator(node, shape=shape, outputs=task.outputs)
            return EstimatorLoop(estimator, task, train, held, settings)

    def module_loop(train: Batches, validation: Batches, settings: TrainSettings) -> TrainingLoop:
        with seeded(settings.seed, device):
            model = build_model(node, shape=shape, outputs=task.outputs).to(device)
            learn_pool(model, task)
            return TrainingLoop(model, task, train, validation, settings)

    if folds is not None:
        if is_estimator(node):
            return folded_estimators(estimator_loop, _in_memory(train), folds, settings)
        return folded_modules(module_loop, _in_memory(train), folds, settings, device)
    if is_estimator(node):
        return estimator_loop(_in_memory(train), _in_memory(validation), settings)
    batches = _batches(train, settings.batch_size, device, settings.stretch)
    return module_loop(batches, _batches(validation, settings.eval_batch_size, device), settings)


def build_lane(
    number: int,
    config: Mapping[str, Any],
    *,
    shape: FeatureShape,
    target: TargetInfo,
    folds: int = 1,
) -> NewLane:
    """Make a trial's lane of a cohort, its model initialised as `build_loop` does.

    Args:
        number: of the trial.
        config: of the trial.
        shape: of the features.
        target: what is predicted.
        folds: number of folds; each has a lane, with a seed of its own.

    Raises:
        ConfigError: any part of the config is wrong, or asks for a GPU that is absent.
    """
    from rayml.models.modules.pooling import learn_pool
    from rayml.train.folds.parts import fold_seed
    from rayml.train.lanes.lane import NewLane
    from rayml.train.loop.randomness import seeded

    settings = train_settings(config["train"])
    device = choose_device(settings.device)

    def lane(fold: int) -> NewLane:
        own = replace(settings, seed=fold_seed(settings.seed, fold))
        with seeded(own.seed, device):
            model = build_model(config["model"], shape=shape, outputs=outputs_of(target)).to(device)
        learn_pool(model, build_task(target))
        return NewLane(number, model, own)

    first, *others = map(lane, range(folds))
    return replace(first, others=tuple(others))


def _users_metrics(section: Mapping[str, Any]) -> dict[str, Any]:
    return {name: build(node) for name, node in section["metrics"].items()}


def _batches(
    split: Examples | ParquetSplit,
    batch_size: int,
    device: torch.device,
    stretch: int | None = None,
) -> Batches:
    from rayml.train.loop.batches import ArrayBatches
    from rayml.train.loop.streaming import ParquetBatches

    if isinstance(split, Examples):
        return ArrayBatches(split, batch_size, device, stretch=stretch)
    return ParquetBatches(split, batch_size, device=device, stretch=stretch)


def _in_memory(split: Examples | ParquetSplit) -> Examples:
    """The rows of a split at once: the object store lacks room for them, not this process."""
    return split if isinstance(split, Examples) else split.read()


def choose_device(name: str) -> torch.device:
    """The device that the setting `train.device` means in this process.

    Raises:
        ConfigError: a GPU is asked for and there is none.
    """
    import torch

    present = torch.cuda.is_available()
    if name == "cuda" and not present:
        raise ConfigError(
            "train.device is cuda, and this process may use no GPU",
            remedy="Set search.resources.gpu, or train.device=auto",
        )
    return torch.device("cuda" if present and name != "cpu" else "cpu")
