"""Decides whether a driver that was killed is started again."""

from __future__ import annotations

_MOST_FAILED_STARTS = 5
_LONGEST_PAUSE_S = 8.0


def pause_before_restart(failed_starts: int) -> float | None:
    """Seconds until the next start.

    A driver that had an endpoint that answered is started at once. One that dies before that may
    meet the same fate again, so the pauses grow, and then it is left alone.

    Args:
        failed_starts: drivers that died one after the other before their endpoint answered.

    Returns:
        The seconds; None if there is no next start.
    """
    if failed_starts >= _MOST_FAILED_STARTS:
        return None
    return min(2.0 ** (failed_starts - 1), _LONGEST_PAUSE_S) if failed_starts else 0.0
