"""How long a cohort will train with all of its lanes, which is what compiled code serves."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rayml.settings.search import PrunerSettings

# These stop most lanes at their first rung.
_HALVING = {"asha", "hyperband"}


def epochs_together(pruner: PrunerSettings, done: int, epochs: int) -> int:
    """Epochs after which a trial is stopped, or most of its neighbours are.

    All brackets of Hyperband but the first stop later, and `median`, as cautious as its data, is
    expected to stop nothing.

    Args:
        pruner: of the sweep.
        done: epochs that the trial has finished, and gone on after.
        epochs: of a trial that is not stopped.
    """
    if pruner.kind not in _HALVING:
        return epochs - done
    rung = pruner.min_epochs
    while rung <= done:
        rung *= pruner.reduction
    return min(rung, epochs) - done


def steps_together(
    pruner: PrunerSettings, alive: Sequence[tuple[int, int]], more: int, epoch: int
) -> int:
    """Training steps that a cohort is expected to make with as many lanes, all at one epoch.

    Lanes that take the places of stopped ones are at another epoch than their neighbours, and
    read batches of their own; those that join when all have ended together begin together.

    Args:
        pruner: of the sweep.
        alive: epochs finished and epochs at most of each trial that trains.
        more: trials that will join them as room is freed.
        epoch: steps of an epoch.
    """
    longest = max(most for _, most in alive)
    together = [epochs_together(pruner, done, most) for done, most in alive]
    later = 0 if pruner.kind in _HALVING else more // len(alive) * longest
    return (math.floor(sum(together) / len(alive)) + later) * epoch
