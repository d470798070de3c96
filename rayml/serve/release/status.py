"""The status of each replica: small files beside the release, written once a second.

Any process that sees the registry can read them, whether Ray runs or not. The file of a replica
that ended without removing it is recognised by its age.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from rayml.serve.observe.status_files import StatusFiles, read_fresh
from rayml.serve.release.counters import Counts
from rayml.types import Size, settings

FOLDER = "replicas"

State = Literal["loading", "ready", "refused"]


@settings
class VersionStatus:
    """One version in one replica.

    Attributes:
        state: whether it can answer.
        reason: why it is refused.
        counts: since the replica started.
        drawn: since the present canary started, of requests that were drawn; None without one.
    """

    state: State
    reason: str = ""
    counts: Counts = field(default_factory=Counts)
    drawn: Counts | None = None


@settings
class ReplicaStatus:
    """One replica.

    Attributes:
        replica: its name.
        revision: of the release that it has taken up, as far as its versions load.
        champion: version that it answers with.
        canary_since: when the canary that it draws for started; None without one.
        versions: that it holds or cannot hold, by their numbers.
        problem: what keeps it from reading the release; empty if nothing does.
    """

    replica: str
    revision: Size
    champion: int
    canary_since: str | None = None
    versions: Mapping[int, VersionStatus] = field(default_factory=dict)
    problem: str = ""

    def follows(self, revision: int, version: int | None) -> bool:
        """Whether it has taken up a revision, or a later one, and holds or refuses a version."""
        if self.revision < revision:
            return False
        if self.revision > revision or version is None:
            return True
        return version in self.versions and self.versions[version].state != "loading"

    def refusal(self, version: int) -> str:
        """Why it does not hold a version; empty if it does, or still loads it."""
        found = self.versions.get(version)
        return found.reason if found and found.state == "refused" else ""


_STATUS: TypeAdapter[ReplicaStatus] = TypeAdapter(ReplicaStatus)


def make_status_folder(model: Path) -> None:
    """Make the folder of a model's replicas, in that of the model, which must be there."""
    (model / FOLDER).mkdir(exist_ok=True)


def write_status(model: Path, status: ReplicaStatus) -> None:
    """Write the file of one replica of a model; it is whole at any moment."""
    StatusFiles(model / FOLDER, status.replica).write(_STATUS.dump_json(status))


def remove_status(model: Path, replica: str) -> None:
    """Remove the file of a replica."""
    StatusFiles(model / FOLDER, replica).remove()


def read_statuses(model: Path) -> list[ReplicaStatus]:
    """The statuses of a model's replicas that run."""
    found = []
    for content in read_fresh(model / FOLDER, now=time.time()):
        with contextlib.suppress(ValidationError):  # of another release of rayml
            found.append(_STATUS.validate_json(content))
    return found
