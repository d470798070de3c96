"""Serves what a release says: a champion, a canary beside it, a shadow behind it.

`ReleaseServing` answers; it holds whole versions only, and changes what it holds by switching one
reference, so that each request is answered by one whole version. `rayml.serve.release.follower`
loads versions and tells it when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rayml.registry.release import Release
from rayml.serve.http.paths import FEEDBACK
from rayml.serve.model.serving import named_version
from rayml.serve.release.canary_split import Split
from rayml.serve.release.counters import Counter
from rayml.serve.release.shadow import Mirror

if TYPE_CHECKING:
    from rayml.serve.http.messages import Request
    from rayml.serve.model.served import ServedModel


@dataclass(frozen=True)
class Trial:
    """A canary that runs.

    Attributes:
        model: its version.
        split: which requests it answers.
        since: when it started.
        counters: of canary and champion since then, by version.
    """

    model: ServedModel
    split: Split
    since: str
    counters: Mapping[str, Counter]


@dataclass(frozen=True)
class Plan:
    """What is served until the next switch.

    Attributes:
        release: that it carries out, as far as its versions load.
        champion: version that answers.
        trial: see `Trial`; None without a canary.
        mirror: of the shadow; None without one.
        named: versions that a path may name.
    """

    release: Release
    champion: ServedModel
    trial: Trial | None = None
    mirror: Mirror | None = None
    named: Mapping[str, ServedModel] = field(default_factory=dict)


class ReleaseServing:
    """Chooses the version that answers, and counts what became of it.

    Args:
        plan: what is served first.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.counters: dict[str, Counter] = {}
        self._count(plan)

    @property
    def champion(self) -> ServedModel:
        """The version that answers where nothing else is asked for."""
        return self.plan.champion

    def described(self, request: Request) -> ServedModel:
        """The version that a page is about."""
        plan = self.plan
        return named_version(request, plan.named) or plan.champion

    async def choose(self, request: Request) -> ServedModel:
        """Choose the version that predicts for a request."""
        if request.parameters and (named := named_version(request, self.plan.named)):
            return named
        trial = self.plan.trial
        if trial is not None and await trial.split.takes(request):
            return trial.model
        return self.plan.champion

    def answered(self, request: Request, status: int, seconds: float) -> None:
        """Count how a prediction was answered."""
        model = request.model
        if model is None or request.path == FEEDBACK:
            return
        if (counter := self.counters.get(model.version)) is not None:
            counter.answered(status, seconds)
        trial = self.plan.trial
        # Who names a version was not drawn, and would spoil the comparison.
        if trial is None or "version" in request.parameters:
            return
        if (counter := trial.counters.get(model.version)) is not None:
            counter.answered(status, seconds)

    def switch(self, plan: Plan) -> None:
        """Serve something else from the next request on.

        Versions that are dropped live until the last request that chose them is answered.
        """
        before = self.plan
        self._count(plan)
        _watch(plan)
        self.plan = plan
        if before.mirror is not None and before.mirror is not plan.mirror:
            before.mirror.close()
        for model in before.named.values():
            if model.version not in plan.named:
                model.watch(None, None)

    def models(self) -> Sequence[ServedModel]:
        """Versions that are ready, whether requests reach them or not."""
        return tuple(self.plan.named.values())

    def close(self) -> None:
        """End once what was taken in is answered."""
        if self.plan.mirror is not None:
            self.plan.mirror.close()
        for model in {self.plan.champion, *self.plan.named.values()}:
            model.close()

    def _count(self, plan: Plan) -> None:
        for version, model in plan.named.items():
            if version not in self.counters:
                self.counters[version] = Counter(model.signature.target)


def _watch(plan: Plan) -> None:
    """Let the versions tell what they predict, to those who want to know."""
    for version, model in plan.named.items():
        counter = plan.trial.counters.get(version) if plan.trial else None
        model.watch(
            plan.mirror if model is plan.champion else None,
            None if counter is None else counter.predicted,
        )
