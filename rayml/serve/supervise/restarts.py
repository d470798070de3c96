"""Decides whether a driver that died is started again, and when."""

from __future__ import annotations

from dataclasses import dataclass, replace

_MOST_FAILED_STARTS = 5
_MOST_DOUBLINGS = 3
_QUICK_S = 60.0


@dataclass(frozen=True)
class Deaths:
    """Drivers that died one after the other.

    Attributes:
        failed_starts: the last ones, if they died before their endpoint answered.
        quick: those that died soon after it did, with no longer life among them.
    """

    failed_starts: int = 0
    quick: int = 0

    def and_one(self, answered_s: float | None) -> Deaths:
        """These and another one.

        Args:
            answered_s: seconds from when its endpoint answered to its death; None if it never did.
        """
        if answered_s is None:
            return replace(self, failed_starts=self.failed_starts + 1)
        return Deaths(quick=self.quick + 1 if answered_s < _QUICK_S else 0)


def pause_before_restart(deaths: Deaths) -> float | None:
    """Seconds until the next start.

    A driver whose endpoint answered is started at once, since what killed it may be over. One that
    dies soon after meets the same fate again, so the pauses grow, but there is always a next start:
    the endpoint answers between two deaths. A driver that dies before its endpoint answers is left
    alone in the end.

    Args:
        deaths: the last of which is the one that a start follows.

    Returns:
        The seconds; None if there is no next start.
    """
    if deaths.failed_starts >= _MOST_FAILED_STARTS:
        return None
    again = deaths.failed_starts or deaths.quick - 1
    return 2.0 ** min(again - 1, _MOST_DOUBLINGS) if again > 0 else 0.0
