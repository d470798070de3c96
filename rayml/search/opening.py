"""Opens the Optuna study of a sweep: a new one, or the one that its journal holds."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import optuna
from optuna.storages import BaseStorage

from rayml.errors import SearchError
from rayml.search.parameter import Params
from rayml.search.replay import IDENTITY, METRIC, SUGGESTIONS
from rayml.types import Direction


def open_optuna(
    storage: BaseStorage,
    name: str,
    metric: str,
    direction: Direction,
    *,
    resume: bool,
    suggestions: Sequence[Params] = (),
) -> optuna.Study:
    """Make or load a study.

    Args:
        storage: of the study.
        name: of the study.
        metric: that it optimises.
        direction: of the metric.
        resume: take the study that is there.
        suggestions: configurations that a new study shall begin with.

    Raises:
        SearchError: the study that is there has another objective.
    """
    # A journal that was killed before its first write is empty.
    study = optuna.create_study(
        study_name=name, storage=storage, direction=direction, load_if_exists=resume
    )
    found = (study.user_attrs.get(METRIC, metric), study.direction.name.lower())
    if found != (metric, direction):
        raise SearchError(
            f"a study goes on with its own objective, {' '.join(found)}",
            value=f"{metric} {direction}",
            remedy="Leave task.metric as it was, or start a sweep under a new search.name",
        )
    if METRIC not in study.user_attrs:
        study_id = storage.get_study_id_from_name(name)
        storage.set_study_system_attr(study_id, SUGGESTIONS, [dict(each) for each in suggestions])
        study.set_user_attr(IDENTITY, uuid.uuid4().hex)
        study.set_user_attr(METRIC, metric)
    return study
