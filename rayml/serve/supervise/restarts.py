"""Decides whether a driver that died is started again, and when."""

from __future__ import annotations

from dataclasses import dataclass, replace

_MOST_FAILED_STARTS = 5
_MOST_DOUBLINGS = 3
_QUICK_S = 60.0


@dataclass(frozen=True)
class Deaths:
    """Counts of the latest deaths of drivers.

    Attributes:
        failed_starts: consecutive deaths before the endpoint answered.
        quick: consecutive deaths within a minute after the endpoint answered.
    """

    failed_starts: int = 0
    quick: int = 0

    def and_one(self, answered_s: float | None) -> Deaths:
        """The counts after another death.

        Args:
            answered_s: seconds from the first answer of its endpoint to the death; None if the
                endpoint never answered.
        """
        if answered_s is None:
            return replace(self, failed_starts=self.failed_starts + 1)
        return Deaths(quick=self.quick + 1 if answered_s < _QUICK_S else 0)


def pause_before_restart(deaths: Deaths) -> float | None:
    """Seconds until the next start.

    A driver whose endpoint answered is started again at once, since the cause may be over. Where
    drivers keep dying soon after, the pauses grow to 8 s and the restarts go on, since the endpoint
    answers between two deaths. Where they keep dying before the endpoint answers, the restarts end.

    Args:
        deaths: the counts, with the latest death.

    Returns:
        The seconds; None to give up.
    """
    if deaths.failed_starts >= _MOST_FAILED_STARTS:
        return None
    again = deaths.failed_starts or deaths.quick - 1
    return 2.0 ** min(again - 1, _MOST_DOUBLINGS) if again > 0 else 0.0
