"""Watches the canary of a model, and promotes it or ends it as its guards decide."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rayml.errors import BundleError, RegistryError
from rayml.registry import release as releases
from rayml.registry.release import Release
from rayml.registry.store import Registry
from rayml.serve.release.canary_policy import CanaryDecision, judge
from rayml.serve.release.counters import Counts, total
from rayml.serve.release.status import ReplicaStatus, read_statuses

if TYPE_CHECKING:
    from rayml.registry.release import Canary


class CanaryWatch:
    """Reads the replicas' counters, and changes the release when the guards decide so.

    Its state is in the release, so it may end and be started again; it keeps only the last status
    of replicas that have ended since.

    Args:
        registry: of the model.
        name: of the model.
    """

    def __init__(self, registry: Registry, name: str) -> None:
        self._registry = registry
        self._name = name
        self._last: dict[str, ReplicaStatus] = {}
        self._since: str | None = None

    def look(self) -> CanaryDecision | None:
        """Decide on the canary once, and act; None where none is guarded."""
        release = self._registry.release(self._name)
        canary = release.canary
        if canary is None or canary.guards is None or release.champion is None:
            return None
        if canary.since != self._since:
            self._last, self._since = {}, canary.since
        for status in read_statuses(self._registry.folder(self._name)):
            self._last[status.replica] = status
        started = datetime.fromisoformat(canary.since)
        decision = judge(
            self._counts(canary, canary.version),
            self._counts(canary, release.champion),
            elapsed_s=(datetime.now(UTC) - started).total_seconds(),
            guards=canary.guards,
            refusal=self._refusal(release, canary),
        )
        return self._act(release, canary, decision)

    def _counts(self, canary: Canary, version: int) -> Counts:
        last = [each for each in self._last.values() if each.canary_since == canary.since]
        drawn = (each.versions[version].drawn for each in last if version in each.versions)
        return total(each for each in drawn if each is not None)

    def _refusal(self, release: Release, canary: Canary) -> str:
        found = (each for each in self._last.values() if each.revision == release.revision)
        return next(filter(None, (each.refusal(canary.version) for each in found)), "")

    def _act(
        self, release: Release, canary: Canary, decision: CanaryDecision
    ) -> CanaryDecision | None:
        if decision.outcome == "go on":
            return decision

        def follow(seen: Release) -> Release:
            if decision.outcome == "promote":
                return releases.promote(seen, canary.version, decision.reason, decision.figures)
            return releases.end_canary(seen, decision.reason, decision.figures)

        try:
            self._registry.change_release(self._name, follow, expected=release.revision)
        except (RegistryError, BundleError):
            return None  # another process changed it first; the next look sees the change
        return decision
