"""Releases: what an endpoint of a model serves now, and how one becomes another.

The functions are pure: each gives the release that follows, or raises. `rayml.registry.releases`
stores it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from rayml.errors import RegistryError
from rayml.settings.release import GuardSettings, StickyKey
from rayml.types import Count, Fraction, Size, settings

FORMAT = 1

Action = Literal["none", "promote", "roll back", "start canary", "end canary", "set shadow"]


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@settings
class Canary:
    """A version that answers a share of the requests.

    Attributes:
        version: its number.
        weight: share of the requests, or of the keys.
        key: what requests of the same version have in common; None draws each by chance.
        guards: what watches it; None where nothing does.
        since: time in UTC, ISO 8601.
    """

    version: Count
    weight: Fraction
    key: StickyKey | None = None
    guards: GuardSettings | None = None
    since: str = field(default_factory=now)


@settings
class Change:
    """Why a release is as it is.

    Attributes:
        action: what was done.
        version: that it was about; None for the end of a shadow.
        reason: a sentence.
        figures: that it was decided by.
        time: in UTC, ISO 8601.
    """

    action: Action = "none"
    version: Count | None = None
    reason: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    time: str = field(default_factory=now)


@settings
class Release:
    """What an endpoint serves now.

    Attributes:
        format: of the document.
        revision: grows by one with each change.
        champion: version that answers; None before the first promotion.
        previous: version that was champion before, ready to roll back to.
        canary: see `Canary`.
        shadow: version that predicts as well, and whose answers nobody gets.
        change: that made it.
    """

    format: int = FORMAT
    revision: Size = 0
    champion: Count | None = None
    previous: Count | None = None
    canary: Canary | None = None
    shadow: Count | None = None
    change: Change = field(default_factory=Change)

    def versions(self) -> tuple[int, ...]:
        """All versions that an endpoint holds, the most urgent first."""
        canary = self.canary.version if self.canary else None
        found = (self.champion, canary, self.previous, self.shadow)
        return tuple(dict.fromkeys(each for each in found if each is not None))


def promote(
    release: Release, version: int, reason: str, figures: Mapping[str, Any] | None = None
) -> Release:
    """Make a version champion; any canary ends, since it was compared with the old one."""
    if version == release.champion:
        return release
    return _next(
        release,
        Change(action="promote", version=version, reason=reason, figures=figures or {}),
        champion=version,
        previous=release.champion,
        canary=None,
        shadow=None if release.shadow == version else release.shadow,
    )


def roll_back(release: Release, reason: str, figures: Mapping[str, Any] | None = None) -> Release:
    """Make the previous version champion again; any canary ends.

    Raises:
        RegistryError: there is none.
    """
    if release.previous is None:
        raise RegistryError(
            "a release is rolled back to the one before it",
            found=f"version {release.champion}, which is the first",
            remedy="Promote another version instead",
        )
    back = promote(release, release.previous, reason)
    change = Change(
        action="roll back", version=release.previous, reason=reason, figures=figures or {}
    )
    return replace(back, change=change)


def withdraw(release: Release, before: Release, reason: str) -> Release:
    """Undo the promotion that followed a release, as if it had not been."""
    change = Change(action="roll back", version=before.champion, reason=reason)
    return replace(before, revision=release.revision + 1, change=change)


def start_canary(release: Release, canary: Canary, reason: str) -> Release:
    """Let a version answer a share of the requests, or change the share of the one that does.

    Raises:
        RegistryError: there is no champion, it is the champion itself, or another canary runs.
    """
    running = release.canary
    if release.champion is None:
        raise RegistryError(
            "a canary runs beside a champion",
            found=canary.version,
            remedy="Promote a version first",
        )
    if canary.version == release.champion:
        raise RegistryError("a canary is another version than the champion", found=canary.version)
    if running and running.version != canary.version:
        raise RegistryError(
            f"one canary runs at a time, and version {running.version} does",
            found=canary.version,
            remedy="End it first: rayml release canary",
        )
    if running and replace(canary, since=running.since) == running:
        return release
    change = Change(action="start canary", version=canary.version, reason=reason)
    return _next(release, change, canary=canary)


def end_canary(release: Release, reason: str, figures: Mapping[str, Any] | None = None) -> Release:
    """Let the champion answer everything again."""
    if release.canary is None:
        return release
    change = Change(
        action="end canary",
        version=release.canary.version,
        reason=reason,
        figures=figures or {},
    )
    return _next(release, change, canary=None)


def set_shadow(release: Release, version: int | None, reason: str) -> Release:
    """Mirror the champion's requests to a version, or to none.

    Raises:
        RegistryError: there is no champion, or it is the champion itself.
    """
    if version == release.shadow:
        return release
    if version is not None and release.champion in {None, version}:
        raise RegistryError(
            "a shadow is another version than the champion, beside which it runs",
            found=version,
            remedy="Promote another version first",
        )
    return _next(
        release, Change(action="set shadow", version=version, reason=reason), shadow=version
    )


def _next(release: Release, change: Change, **values: Any) -> Release:
    return replace(release, revision=release.revision + 1, change=change, **values)
