"""Finds all problems of a config before anything is spent, each with its key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from rayml.cluster.resources import total_resources
from rayml.config.components.build import TARGET, build, check, imports_users_code, is_node
from rayml.config.components.stored_node import StoredNode
from rayml.config.components.trust import Trust
from rayml.config.components.trusted import require_trusted
from rayml.config.compose import Composed
from rayml.errors import InvalidConfigError, RaymlError, TrainError
from rayml.models.estimators.estimator import READ_BY_ALL
from rayml.search.checks import component_checks, goals_of, search_checks
from rayml.search.space.effect import check_effect
from rayml.search.space.fit import check_fit
from rayml.search.space.space import Space
from rayml.settings.search import SearchSettings
from rayml.stages.commands import show
from rayml.stages.winners.decide import KEY as DECIDE_KEY
from rayml.stages.winners.decide import require_decidable
from rayml.tasks.table import is_task
from rayml.train.blame import users_line
from rayml.train.build import SECTIONS, build_loop, estimator_of, objective
from rayml.train.families import FAMILY_KEY, all_models
from rayml.train.speed.member_sizes import with_least_sizes

if TYPE_CHECKING:
    from rayml.config.schema import Config
    from rayml.data.prepare.preview import Preview

_search = pydantic.TypeAdapter(SearchSettings)

GROUP_KEY = "confirm.intervals.group"
"""The key that names the column of groups."""

PREVIEWED = 1000
"""Rows that are looked at; a table of fewer is seen as a whole."""

# Arguments that only the program knows.
_GIVEN = ("shape", "outputs")


def config_problems(composed: Composed, *, again: bool = False) -> list[str]:
    """Problems of composition, space, sampler, budgets and tracking, from the config alone.

    Args:
        composed: the config.
        again: whether a sweep continues with it; keys without effect are then left, since they
            are searched already.
    """
    problems = [*composed.problems, *_space_problems(composed.plain, again)]
    if not problems:
        space, trial = Space.parse(composed.plain["space"]), trial_config(composed.plain)
        for key, check_one in search_checks(composed.typed().search, space, trial):
            problems += _raised_by(key, check_one)
    return problems


def component_problems(plain: Mapping[str, Any]) -> list[str]:
    """Problems of the code that a config names.

    Targets that do not import or do not take their arguments, an unknown metric, further objective
    or constraint, and a sampler or pruner that cannot be used. Only the user's code may load
    PyTorch here.
    """
    data, task = _section(plain, "data"), _section(plain, "task")
    problems: list[str] = []
    for key, node in _components(plain):
        model = key.partition(".")[0] == "model"
        found = list(_component(key, node, *(_GIVEN if model else ())))
        problems += found
        if model and not found:
            problems += _raised_by(key, partial(_require_storable, node))
            problems += _raised_by(key, partial(_check_estimator, key, node, plain))
    problems += _raised_by("train.optimizer", lambda: _check_optimizer(plain))
    if not problems and is_task(data.get("task")):
        problems += _raised_by("task", lambda: objective(task, data["task"]))
    if not problems:
        problems += _search_problems(plain)
    return problems


def _require_storable(node: Mapping[str, Any]) -> None:
    """Check that a bundle can hold a model, before it is trained.

    Raises:
        BuildError: none can.
    """
    stored = StoredNode.of(node)
    require_trusted(stored, "model", Trust(targets=frozenset({stored.target})))


def _check_estimator(key: str, node: Mapping[str, Any], plain: Mapping[str, Any]) -> None:
    """Refuse a space that searches settings of training which an estimator ignores.

    Of several families only settings are refused that are searched for this one alone.

    Raises:
        InvalidConfigError: all of them.
    """
    kind = estimator_of(node)
    if kind is None:
        return
    used = READ_BY_ALL | kind.reads
    family = key.partition(".")[2]
    searched = [
        each.key
        for each in Space.parse(_section(plain, "space")).parameters
        if not family or each.when.get(FAMILY_KEY) == (family,)
    ]
    keys = (each.removeprefix("train.") for each in searched if each.startswith("train."))
    if idle := [
        f"space.train.{key}: searching it has no effect, as {kind.__name__} does not read it;"
        " remove it"
        for key in keys
        if key.partition(".")[0] not in used
    ]:
        raise InvalidConfigError(idle)


def names_users_code(plain: Mapping[str, Any]) -> bool:
    """Whether `component_problems` imports code that does not come with rayml."""
    named = [*_components(plain)]
    for section, name in (("train", "optimizer"), ("search", "sampler"), ("search", "pruner")):
        named.append((f"{section}.{name}", _section(plain, section).get(name)))
    return any(is_node(node) and imports_users_code(node) for _, node in named)


def trial_config(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of a config that a trial reads."""
    return {section: plain[section] for section in SECTIONS}


def first_rows_problems(config: Config, plain: Mapping[str, Any]) -> list[str]:
    """Problems that a sample of the rows shows; prints its advice too. Needs Ray.

    Columns that are absent, a target that does not suit the task, and failures of one batch in
    forward pass, backward pass, step and evaluation.
    """
    from rayml.data.prepare.preview import preview

    seen: list[Preview] = []
    data = config.data
    problems = _raised_by(
        "data",
        lambda: seen.append(
            preview(
                build(data.source),
                target=data.target,
                task=data.task,
                schema=data.schema,
                split=data.split,
                preprocess=data.preprocess,
                text=data.text,
                store=Path(config.paths.prepared),
                positive=data.positive,
                rows=PREVIEWED,
            )
        ),
    )
    for rows in seen:
        show.advise(rows.advice)
        if (group := config.confirm.intervals.group) is not None:
            from rayml.data.fit.group_column import GroupColumn  # it loads pandas

            problems += _raised_by(GROUP_KEY, partial(GroupColumn, rows.preprocessor, group))
        problems += _raised_by(DECIDE_KEY, partial(_check_decisions, config, rows))
        for key, node in all_models(plain["model"]).items():
            problems += _raised_by(key, partial(_train_once, {**plain, "model": node}, rows))
    return problems


def _check_decisions(config: Config, rows: Preview) -> None:
    """See `require_decidable`."""
    target, metrics = rows.preprocessor.target, config.task.metrics
    require_decidable(config.confirm.decide, target, metrics, whole=len(rows.examples) < PREVIEWED)


def resource_problems(config: Config) -> list[str]:
    """Resources that the cluster lacks; needs Ray."""
    total = total_resources()
    trial, replica = config.search.resources, config.serve.replicas
    wanted = {
        "search.resources.cpu": ("CPU", trial.cpu, total.cpus),
        "search.resources.gpu": ("GPU", trial.gpu, total.gpus),
        "serve.replicas.cpu": ("CPU", replica.cpu, total.cpus),
        "serve.replicas.gpu": ("GPU", replica.gpu, total.gpus),
    }
    return [
        f"{key}: {amount:g} {kind} is more than the cluster has ({has:g}); lower it,"
        " or add machines"
        for key, (kind, amount, has) in wanted.items()
        if amount > has
    ]


def _train_once(plain: Mapping[str, Any], rows: Preview) -> None:
    try:
        _run_epoch(plain, rows)
    except RaymlError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise TrainError(
            f"the model {plain['model'].get('_target_')} or a metric fails on a batch"
            f" ({type(error).__name__}: {error})",
            remedy="Correct its forward(numeric, categorical), or the metric",
        ) from error


def _run_epoch(plain: Mapping[str, Any], rows: Preview) -> None:
    trial = trial_config(plain)
    trial["model"] = with_least_sizes(trial["model"])
    one: dict[str, Any] = {"epochs": 1, "steps": None, "batch_size": len(rows.examples)}
    if len(rows.examples) >= PREVIEWED and isinstance(trial["train"]["class_weights"], Mapping):
        one["class_weights"] = None  # they may name a class that these rows lack
    trial["train"] = {**trial["train"], **one}
    build_loop(
        trial,
        train=rows.examples,
        validation=rows.examples,
        shape=rows.preprocessor.shape,
        target=rows.preprocessor.target,
    ).run_epoch()


def _components(plain: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from all_models(plain.get("model")).items()
    yield "data.source", _section(plain, "data").get("source")
    for name, node in _section(_section(plain, "task"), "metrics").items():
        yield f"task.metrics.{name}", node


def _check_optimizer(plain: Mapping[str, Any]) -> None:
    """Check the class of the user's optimizer, and that it takes the searched arguments."""
    node = _section(_section(plain, "train"), "optimizer")
    if not is_node(node):
        return
    from rayml.train.optimizers.model_optimizer import optimizer_node

    kept = optimizer_node(node)
    check(kept, "params")
    section = "train.optimizer."
    if idle := [
        f"space.{key}: searching it has no effect, as {node[TARGET]} does not take it; remove it"
        for key in Space.parse(_section(plain, "space")).keys
        if key.startswith(section) and key.removeprefix(section) in node.keys() - kept.keys()
    ]:
        raise InvalidConfigError(idle)


def _section(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = tree.get(name)
    return section if isinstance(section, Mapping) else {}


def _component(key: str, node: object, *extra: str) -> Iterator[str]:
    if not is_node(node):
        yield f"{key}: a component has no {TARGET}: {node!r}; add it with the path of a class"
        return
    yield from _raised_by(key, lambda: check(node, *extra))  # type: ignore[arg-type]


def _space_problems(plain: Mapping[str, Any], again: bool) -> list[str]:
    if any(not isinstance(plain.get(section), Mapping) for section in (*SECTIONS, "space")):
        return []  # a problem of composition

    def fit() -> None:
        space, trial = Space.parse(plain["space"]), trial_config(plain)
        check_fit(space, trial)
        if not again:
            check_effect(space, trial)

    return _raised_by("space", fit)


def _search_problems(plain: Mapping[str, Any]) -> list[str]:
    """Problems of the goals of the search, and of the user's sampler and pruner."""
    task: Any = _section(plain, "data").get("task")
    try:
        search = _search.validate_python(_section(plain, "search"))
        space = Space.parse(_section(plain, "space"))
    except (pydantic.ValidationError, InvalidConfigError):
        return []  # a problem of composition
    problems: list[str] = []
    if is_task(task):
        section = _section(plain, "task")
        problems += _raised_by("search", lambda: goals_of(section, task, search))
    for key, check_one in component_checks(search, space, trial_config(plain)):
        problems += _raised_by(key, check_one)
    return problems


def _raised_by(key: str, action: Callable[[], object]) -> list[str]:
    """The problems that an action raises; each line names a config key."""
    try:
        action()
    except InvalidConfigError as error:
        return list(error.problems)
    except RaymlError as error:
        place = users_line(error)
        return [f"{key}: {error} ({place})" if place else f"{key}: {error}"]
    return []
