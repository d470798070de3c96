"""What a deterministic search may not depend on."""

from __future__ import annotations

from collections.abc import Iterable

from rayml.errors import ConfigError
from rayml.tasks.objectives import TRAIN_SECONDS


def check_deterministic(
    *,
    seconds: float | None,
    cost: float | None,
    objectives: Iterable[str],
    constraints: Iterable[str],
) -> None:
    """Check that nothing which a deterministic search decides by is a time.

    Args:
        seconds: its budget of wall-clock.
        cost: its budget of the workers' time.
        objectives: names of what it optimises.
        constraints: names of what it bounds.

    Raises:
        ConfigError: something is.
    """
    times = {
        "search.seconds": seconds is not None,
        "search.cost": cost is not None,
        f"search.objectives: {TRAIN_SECONDS}": TRAIN_SECONDS in objectives,
        f"search.constraints.{TRAIN_SECONDS}": TRAIN_SECONDS in constraints,
    }
    if found := [name for name, given in times.items() if given]:
        raise ConfigError(
            "search.deterministic gives the same trials however long they take",
            found=", ".join(found),
            remedy="Leave these out; search.trials and search.epochs are budgets that it keeps",
        )
