"""Serves what a release says: a champion, a canary beside it, a shadow behind it.

`ReleaseServing` chooses; it holds whole versions only, and changes what it holds by switching one
reference, so that each request is answered by one whole version. `rayml.serve.release.follower`
loads versions and switches to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rayml.registry.release import Release
from rayml.serve.http.paths import FEEDBACK
from rayml.serve.model.serving import named_version
from rayml.serve.observe.request_counts import AnswerTotals, RequestCounts
from rayml.serve.release.canary_split import CanarySplit
from rayml.serve.release.counters import Counts, VersionCounter
from rayml.serve.release.shadow import Shadow

if TYPE_CHECKING:
    from rayml.serve.http.messages import Request
    from rayml.serve.model.served import ServedModel


@dataclass(frozen=True)
class RunningCanary:
    """A canary as one replica runs it.

    Attributes:
        model: its version.
        split: which requests it answers.
        since: when it started.
        counters: of canary and champion since then, by version.
        before: their requests until then.
    """

    model: ServedModel
    split: CanarySplit
    since: str
    counters: Mapping[str, VersionCounter]
    before: Mapping[str, AnswerTotals]


@dataclass(frozen=True)
class Plan:
    """What is served until the next switch.

    Attributes:
        release: that it carries out, as far as its versions load.
        champion: version that answers.
        canary: None without one.
        shadow: None without one.
        named: versions that a path may name.
    """

    release: Release
    champion: ServedModel
    canary: RunningCanary | None = None
    shadow: Shadow | None = None
    named: Mapping[str, ServedModel] = field(default_factory=dict)


class ReleaseServing:
    """Chooses the version that answers, and reads what was counted of each.

    Args:
        plan: what is served first.
        requests: counts the requests of this replica.
    """

    def __init__(self, plan: Plan, requests: RequestCounts) -> None:
        self.plan = plan
        self.requests = requests
        self.counters: dict[str, VersionCounter] = {}
        self._count(plan)

    @property
    def champion(self) -> ServedModel:
        """The version that answers by default."""
        return self.plan.champion

    def described(self, request: Request) -> ServedModel:
        """The version that a page is about."""
        plan = self.plan
        return named_version(request, plan.named) or plan.champion

    async def choose(self, request: Request) -> ServedModel:
        """Choose the version that predicts for a request."""
        if request.parameters and (named := named_version(request, self.plan.named)):
            return named
        canary = self.plan.canary
        if canary is not None and await canary.split.takes(request):
            return canary.model
        return self.plan.champion

    def counts(self, version: str) -> Counts:
        """The counts of a version since this replica started."""
        return self.counters[version].read(self.requests.totals(version, _predicts))

    def drawn_totals(self, version: str) -> AnswerTotals:
        """Requests of a version, except those that named it: they were not drawn."""
        return self.requests.totals(version, _draws)

    def drawn_counts(self, version: str, canary: RunningCanary | None) -> Counts | None:
        """The counts of a version since a canary started; None if it is not compared with it."""
        if canary is None or version not in canary.counters:
            return None
        answers = self.drawn_totals(version).since(canary.before[version])
        return canary.counters[version].read(answers)

    def switch(self, plan: Plan) -> None:
        """Serve something else from the next request on.

        Versions that are dropped live until the last request that chose them is answered.
        """
        before = self.plan
        self._count(plan)
        _watch(plan)
        self.plan = plan
        if before.shadow is not None and before.shadow is not plan.shadow:
            before.shadow.close()
        for model in before.named.values():
            if model.version not in plan.named:
                model.watch(None, None)

    def models(self) -> Sequence[ServedModel]:
        """Versions that are ready, whether requests reach them or not."""
        return tuple(self.plan.named.values())

    def close(self) -> None:
        """End after answering the requests taken in."""
        if self.plan.shadow is not None:
            self.plan.shadow.close()
        for model in {self.plan.champion, *self.plan.named.values()}:
            model.close()

    def _count(self, plan: Plan) -> None:
        for version, model in plan.named.items():
            if version not in self.counters:
                self.counters[version] = VersionCounter(model.signature.target)


def _predicts(route: str) -> bool:
    return route != FEEDBACK


def _draws(route: str) -> bool:
    """Whether the requests of a route are drawn for canary or champion; none that name a version.

    Those would spoil the comparison.
    """
    return route != FEEDBACK and "{version}" not in route


def _watch(plan: Plan) -> None:
    """Give what the versions answer and predict to the shadow and to the canary's counters."""
    for version, model in plan.named.items():
        counter = plan.canary.counters.get(version) if plan.canary else None
        model.watch(
            plan.shadow if model is plan.champion else None,
            None if counter is None else counter.predicted,
        )
