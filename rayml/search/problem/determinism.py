"""What a deterministic search may not depend on."""

from __future__ import annotations

from rayml.errors import ConfigError
from rayml.settings.search import SearchSettings
from rayml.tasks.objectives import TRAIN_SECONDS


def check_deterministic(search: SearchSettings) -> None:
    """Check that nothing which a deterministic search decides by is a time.

    Raises:
        ConfigError: something is.
    """
    if not search.deterministic:
        return
    times = {
        "search.seconds": search.seconds is not None,
        "search.cost": search.cost is not None,
        f"search.objectives: {TRAIN_SECONDS}": TRAIN_SECONDS
        in (each.metric for each in search.objectives),
        f"search.constraints.{TRAIN_SECONDS}": TRAIN_SECONDS in search.constraints,
    }
    if found := [name for name, given in times.items() if given]:
        raise ConfigError(
            f"search.deterministic is set, and the search depends on times: {', '.join(found)}",
            remedy="Leave these out; search.trials and search.epochs are budgets without times",
        )
