"""Finds what is wrong with a config before anything is spent: all of it, each with its key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rayml.config.build import build, check, is_node
from rayml.config.compose import Composed
from rayml.errors import InvalidConfigError, RaymlError, TrainError
from rayml.models.objectives import DEFAULTS
from rayml.search.fit import check_fit
from rayml.search.samplers import check_sampler
from rayml.search.space import Space
from rayml.search.tracking.tracker import check_tracking
from rayml.train.trial import SECTIONS, build_loop, objective

if TYPE_CHECKING:
    from rayml.config.schema import Config
    from rayml.data.glance import Glance


def config_problems(composed: Composed) -> list[str]:
    """What can be told from the config alone: of its composition, space, sampler and tracking."""
    problems = [*composed.problems, *_space_problems(composed.plain)]
    if not problems:
        search = composed.typed().search
        problems += _told_by("search.sampler", lambda: _check_sampler(composed))
        problems += _told_by("search.tracking", lambda: check_tracking(search.tracking))
    return problems


def component_problems(plain: Mapping[str, Any]) -> list[str]:
    """What can be told by importing the code that a config names.

    Targets that do not import or whose arguments do not bind, and an unknown metric. It may load
    PyTorch.
    """
    data, task = _section(plain, "data"), _section(plain, "task")
    problems = [
        *_component("model", plain.get("model"), "shape", "outputs"),
        *_component("data.source", data.get("source")),
    ]
    for name, node in _section(task, "metrics").items():
        problems += _component(f"task.metrics.{name}", node)
    if not problems and data.get("task") in DEFAULTS:
        problems += _told_by("task", lambda: objective(task, data["task"]))
    return problems


def trial_config(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of a config that a trial reads."""
    return {section: plain[section] for section in SECTIONS}


def first_rows_problems(config: Config, plain: Mapping[str, Any]) -> list[str]:
    """What a sample of the rows tells; needs Ray.

    Columns that are not there, a target that does not suit the task, and, over one batch, what
    fails in forward pass, backward pass, step and evaluation.
    """
    from rayml.data.glance import glance

    seen: list[Glance] = []
    data = config.data
    problems = _told_by(
        "data",
        lambda: seen.append(
            glance(
                build(data.source),
                target=data.target,
                task=data.task,
                schema=data.schema,
                split=data.split,
                preprocess=data.preprocess,
                positive=data.positive,
            )
        ),
    )
    for glanced in seen:
        problems += _told_by("model", lambda: _train_once(plain, glanced))  # noqa: B023
    return problems


def resource_problems(config: Config) -> list[str]:
    """What the cluster lacks; needs Ray."""
    import ray

    total = ray.cluster_resources()
    trial, replica = config.search.resources, config.serve.replicas
    wanted = {
        "search.resources.cpu": ("CPU", trial.cpu),
        "search.resources.gpu": ("GPU", trial.gpu),
        "serve.replicas.cpu": ("CPU", replica.cpu),
        "serve.replicas.gpu": ("GPU", replica.gpu),
    }
    return [
        f"{key}: wants {amount:g} {kind}, the cluster has {total.get(kind, 0):g}"
        for key, (kind, amount) in wanted.items()
        if amount > total.get(kind, 0)
    ]


def _train_once(plain: Mapping[str, Any], glanced: Glance) -> None:
    try:
        _run_epoch(plain, glanced)
    except RaymlError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise TrainError(
            f"a model and its metrics take a batch ({type(error).__name__}: {error})",
            value=plain["model"].get("_target_"),
            remedy="Mend its forward(numeric, categorical), or the metric",
        ) from error


def _run_epoch(plain: Mapping[str, Any], glanced: Glance) -> None:
    trial = trial_config(plain)
    trial["train"] = {**trial["train"], "epochs": 1, "batch_size": len(glanced.examples)}
    build_loop(
        trial,
        train=glanced.examples,
        validation=glanced.examples,
        shape=glanced.preprocessor.shape,
        target=glanced.preprocessor.target,
    ).run_epoch()


def _section(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = tree.get(name)
    return section if isinstance(section, Mapping) else {}


def _component(key: str, node: object, *extra: str) -> Iterator[str]:
    if not is_node(node):
        yield f"{key}: a component has a _target_, got {node!r}"
        return
    yield from _told_by(key, lambda: check(node, *extra))  # type: ignore[arg-type]


def _space_problems(plain: Mapping[str, Any]) -> list[str]:
    if any(not isinstance(plain.get(section), Mapping) for section in (*SECTIONS, "space")):
        return []  # composition has told already

    def fit() -> None:
        check_fit(Space.parse(plain["space"]), trial_config(plain))

    return _told_by("space", fit)


def _check_sampler(composed: Composed) -> None:
    space = Space.parse(composed.plain["space"])
    check_sampler(composed.typed().search.sampler, space, trial_config(composed.plain))


def _told_by(key: str, action: Callable[[], object]) -> list[str]:
    """The problems that an action finds; each line names a config key."""
    try:
        action()
    except InvalidConfigError as error:
        return list(error.problems)
    except RaymlError as error:
        return [f"{key}: {error}"]
    return []
