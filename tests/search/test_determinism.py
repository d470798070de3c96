"""A deterministic search decides by nothing that is a time."""

from __future__ import annotations

from typing import Any

import pytest

from rayml.errors import ConfigError
from rayml.search.checks import check_deterministic
from rayml.search.pruning.quota import UNMEASURED_LANES, Standing, deal_by
from rayml.settings.search import BoundSettings, CohortSettings, ObjectiveSettings, SearchSettings

SOUND: dict[str, Any] = {
    "deterministic": True,
    "objectives": (ObjectiveSettings(metric="parameters"),),
    "constraints": {"loss": BoundSettings(max=1.0)},
}
SECONDS = "train_seconds"


def test_what_is_no_time_may_decide() -> None:
    check_deterministic(SearchSettings(**SOUND))
    check_deterministic(SearchSettings(seconds=3.0))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seconds": 3.0}, r"search\.seconds"),
        ({"cost": 3.0}, r"search\.cost"),
        (
            {"objectives": (ObjectiveSettings(metric=SECONDS),)},
            r"search\.objectives: train_seconds",
        ),
        ({"constraints": {SECONDS: BoundSettings(max=9.0)}}, r"search\.constraints\.train_seconds"),
        ({"seconds": 3.0, "cost": 3.0}, r"search\.seconds, search\.cost"),
    ],
)
def test_what_is_a_time_may_not(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_deterministic(SearchSettings(**(SOUND | changes)))


@pytest.mark.parametrize(("lanes", "most"), [("auto", UNMEASURED_LANES), (64, 64)])
def test_a_cohort_that_is_not_measured_is_not_too_large(lanes: Any, most: int) -> None:
    search = SearchSettings(deterministic=True, cohort=CohortSettings(lanes=lanes))
    assert deal_by(search, Standing(10_000, 5_000, 2, 50, 0)).quota.lanes == most
