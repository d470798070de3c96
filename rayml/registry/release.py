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
        weight: share of the requests, or of the keys, between 0 and 1.
        key: a header or column; requests with the same value of it go to the same version. None
            draws each request by chance.
        guards: limits at which it is rolled back; None where nothing watches it.
        since: its start in UTC, ISO 8601.
    """

    version: Count
    weight: Fraction
    key: StickyKey | None = None
    guards: GuardSettings | None = None
    since: str = field(default_factory=now)


@settings
class Change:
    """The step that led to a release.

    Attributes:
        action: what was done.
        version: the version that was promoted, started or ended; None for the end of a shadow.
        reason: why, as a sentence.
        figures: measured values behind the reason.
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
        format: version of the document's format.
        revision: grows by one with each change.
        champion: version that answers; None before the first promotion.
        previous: the champion before it, kept to roll back to.
        canary: see `Canary`.
        shadow: version that predicts the same requests; its answers are compared, not sent.
        change: the step that led here.
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
        RegistryError: there is no previous version.
    """
    if release.previous is None:
        first = f"version {release.champion} is the first"
        raise RegistryError(
            "there is no earlier champion to roll back to: "
            + (first if release.champion else "no version was promoted yet"),
            remedy="Promote another version",
        )
    back = promote(release, release.previous, reason)
    change = Change(
        action="roll back", version=release.previous, reason=reason, figures=figures or {}
    )
    return replace(back, change=change)


def withdraw(release: Release, before: Release, reason: str) -> Release:
    """Undo the promotion that followed a release."""
    change = Change(action="roll back", version=before.champion, reason=reason)
    return replace(before, revision=release.revision + 1, change=change)


def start_canary(release: Release, canary: Canary, reason: str) -> Release:
    """Let a version answer a share of the requests, or change the share of the one that does.

    Raises:
        RegistryError: there is no champion, the version is the champion, or another canary runs.
    """
    running = release.canary
    if release.champion is None:
        raise RegistryError(
            f"version {canary.version} cannot be a canary, since there is no champion",
            remedy=f"Promote a version first, such as `rayml promote {canary.version}`",
        )
    if canary.version == release.champion:
        raise RegistryError(
            f"version {canary.version} is the champion, so it cannot be its canary",
            remedy="Name another version",
        )
    if running and running.version != canary.version:
        raise RegistryError(
            f"version {running.version} is the canary, so version {canary.version} cannot be",
            remedy="End that one first: `rayml release canary`",
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
        RegistryError: there is no champion, or the version is the champion.
    """
    if version == release.shadow:
        return release
    if version is not None and release.champion is None:
        raise RegistryError(
            f"version {version} cannot be a shadow, since there is no champion",
            remedy=f"Promote a version first, such as `rayml promote {version}`",
        )
    if version is not None and version == release.champion:
        raise RegistryError(
            f"version {version} is the champion, so it cannot be its shadow",
            remedy="Name another version",
        )
    return _next(
        release, Change(action="set shadow", version=version, reason=reason), shadow=version
    )


def _next(release: Release, change: Change, **values: Any) -> Release:
    return replace(release, revision=release.revision + 1, change=change, **values)
