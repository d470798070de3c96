"""What a sweep is given: what is searched, how, and where its folder lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rayml.search.space.space import Space
from rayml.settings.search import SearchSettings

# Of the sweep's folder.
CONFIG = "config.yaml"
DATA = "data.json"
JOURNAL = "journal.log"
SPACE = "space.json"
TIMINGS = "timings.json"
TRIALS = "trials"
COHORTS = "cohorts"


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """One search.

    Attributes:
        name: of the sweep and its folder.
        sweeps: folder of all sweeps.
        trial: plain config of a trial: the sections model, task and train.
        space: what is searched in it.
        search: how.
        seed: of the sampler, and of populations.
        resume: go on with the sweep of that name.
        warm_start: folders of sweeps whose trials inform this one.
    """

    name: str
    sweeps: Path
    trial: Mapping[str, Any]
    space: Space
    search: SearchSettings = field(default_factory=SearchSettings)
    seed: int = 0
    resume: bool = False
    warm_start: tuple[Path, ...] = ()

    @property
    def folder(self) -> Path:
        """Where everything of the sweep lies."""
        return self.sweeps / self.name
