"""Follows a release in a replica: loads the versions that it names, then switches to them."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from rayml.errors import RaymlError, RegistryError, ServeError
from rayml.registry.release import Canary, Release
from rayml.registry.store import Registry
from rayml.serve.model.served import ServedModel
from rayml.serve.observe.request_counts import RequestCounts
from rayml.serve.release.canary_split import CanarySplit
from rayml.serve.release.counters import VersionCounter
from rayml.serve.release.release import Plan, ReleaseServing, RunningCanary
from rayml.serve.release.shadow import Shadow
from rayml.serve.release.status import (
    ReplicaStatus,
    VersionStatus,
    make_status_folder,
    remove_status,
    write_status,
)

_log = logging.getLogger(__name__)
_POLL_S = 0.1
_STATUS_S = 1.0
# A thread that loads a version gives the interpreter back this soon to one that answers.
_SWITCH_INTERVAL_S = 0.0005

Load = Callable[[Path, str], ServedModel]


class Follower:
    """Keeps a replica at the release of its model.

    A version is loaded and tried in a thread of its own while others answer, and only a version
    that loaded whole is switched to. One that does not load leaves what is served as it is, and
    the replica's status says why.

    Args:
        registry: readable by every node, and writable for the status of the replicas.
        name: of the model.
        load: makes a version of the folder of its bundle; raises where it cannot.
        requests: counts the requests of the replica.
        beside: folder that the status is written to while that of the model is gone; None for
            none.

    Raises:
        ServeError: there is no champion.
        RaymlError: neither the champion nor the version before it loads.
    """

    def __init__(
        self,
        registry: Registry,
        name: str,
        load: Load,
        *,
        requests: RequestCounts,
        beside: Path | None = None,
    ) -> None:
        self._registry = registry
        self._name = name
        self._load = load
        self._folder = registry.folder(name)
        self._models: dict[int, ServedModel] = {}
        self._refused: dict[int, str] = {}
        self._problem = ""
        self._seen: object = self._mark()
        self._beside = beside
        self._unwritten = ""
        self._replica = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._ended = threading.Event()
        release = registry.release(name)
        self.serving = ReleaseServing(self._first(release), requests)
        self._release = release
        self._news = threading.Event()
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for target, name in ((self._follow, "release"), (self._report, "status"))
        ]

    def start(self) -> None:
        """Follow from now on."""
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        with suppress(OSError):  # the next status reports it
            make_status_folder(self._folder)
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop following, and remove the status."""
        self._ended.set()
        self._news.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(5.0)
        for folder in filter(None, (self._folder, self._beside)):
            with suppress(OSError):
                remove_status(folder, self._replica)

    def _first(self, release: Release) -> Plan:
        if release.champion is None:
            raise ServeError(
                f"{self._name} has no champion",
                remedy="Promote a version first, or name one by serve.version",
            )
        champion = self._hold(release.champion)
        if champion is None and release.previous is not None:
            champion = self._hold(release.previous)  # the status has the reason
        if champion is None:
            raise ServeError(
                f"version {release.champion}, the champion of {self._name}, does not load "
                f"({self._refused[release.champion]})",
                remedy="Promote another version",
            )
        return Plan(release, champion, named={champion.version: champion})

    def _follow(self) -> None:
        _lower_priority()
        self._take_up(self._release)
        while not self._ended.wait(_POLL_S):
            if self._changed():
                self._news.set()

    def _report(self) -> None:
        """Write the status at least once a second, also while a version is being loaded."""
        while not self._ended.is_set():
            self._news.clear()
            self._write_status()
            self._news.wait(_STATUS_S)

    def _changed(self) -> bool:
        """Take up the release if its file has changed; whether the status has changed."""
        try:
            mark = self._mark()
            if mark == self._seen:
                return False
            if mark is False:
                raise RegistryError(
                    f"the registry's folder {self._folder} is gone; version "
                    f"{self.serving.champion.version} is served on",
                    remedy="Put it back, or stop the endpoint",
                )
            release = self._registry.release(self._name)
            self._seen = mark
            if release.champion is None:
                raise RegistryError(
                    "the release has no champion",
                    found=str(self._folder / "release.json"),
                    remedy="Copy the file again, or promote a version",
                )
            if self._problem:
                _log.warning("the release is followed again")
                make_status_folder(self._folder)
            self._release, self._problem = release, ""
            self._take_up(release)
        except RegistryError as error:
            self._seen = mark
            return self._troubled(error)
        except OSError as error:
            # A shared folder may be away for a while; then the release is read again.
            self._seen = object()
            return self._troubled(error)
        return True

    def _troubled(self, error: RegistryError | OSError) -> bool:
        """Keep the error that prevents this replica from following; whether it is a new one."""
        if str(error) == self._problem:
            return False
        self._problem = str(error)
        _log.error("the release cannot be followed: %s", error)
        return True

    def _mark(self) -> object:
        try:
            found = (self._folder / "release.json").stat()
        except FileNotFoundError:
            return self._folder.is_dir()  # who removes the folder may remove the file before
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _take_up(self, release: Release) -> None:
        """Switch at once to the versions that are loaded, and to the others as they load."""
        self._refused.clear()
        self._switch(release)
        for version in release.versions():
            if version not in self._models and self._hold(version) is not None:
                self._switch(release)
        wanted = {*release.versions(), int(self.serving.champion.version)}
        for version in set(self._models) - wanted:
            del self._models[version]
        self._switch(release)

    def _hold(self, version: int) -> ServedModel | None:
        """Load a version; None if it does not load, for a reason that the status has."""
        try:
            folder = self._registry.resolve(self._name, version)
            self._models[version] = self._load(folder, str(version))
        except Exception as error:  # noqa: BLE001 (see below)
            # A user's model may raise anything when it is made; no error ends a replica that
            # serves another version.
            reason = str(error) if isinstance(error, RaymlError) else repr(error)
            self._refused[version] = reason
            _log.exception("version %d is not served", version)
            return None
        return self._models[version]

    def _switch(self, release: Release) -> None:
        serving, held = self.serving, self._models
        assert release.champion is not None
        champion = held.get(release.champion, serving.champion)
        followed = champion is held.get(release.champion)
        self.serving.switch(
            Plan(
                release=release,
                champion=champion,
                # A canary is compared with the champion that it was started beside.
                canary=self._canary(release.canary, champion) if followed else None,
                shadow=self._shadow(release.shadow, champion),
                named={str(version): held[version] for version in sorted(held)},
            )
        )

    def _canary(self, canary: Canary | None, champion: ServedModel) -> RunningCanary | None:
        model = self._models.get(canary.version) if canary else None
        if canary is None or model is None:
            return None
        running, split = self.serving.plan.canary, CanarySplit(canary, champion.signature)
        if running is not None and (running.since, running.model) == (canary.since, model):
            return replace(running, split=split)
        compared = (champion, model)
        return RunningCanary(
            model,
            split,
            canary.since,
            counters={
                each.version: VersionCounter(champion.signature.target, each.predictor.task.rule)
                for each in compared
            },
            before={each.version: self.serving.drawn_totals(each.version) for each in compared},
        )

    def _shadow(self, version: int | None, champion: ServedModel) -> Shadow | None:
        model = self._models.get(version) if version is not None else None
        if model is None or model is champion:
            return None
        running = self.serving.plan.shadow
        if running is not None and running.predictor is model.predictor:
            return running
        counters = self.serving.counters
        counter = counters.get(model.version) or VersionCounter(model.signature.target)
        counters[model.version] = counter
        return Shadow(model.predictor, counter)

    def _write_status(self) -> None:
        serving, refused = self.serving, dict(self._refused)
        plan = serving.plan
        versions = {
            int(version): VersionStatus(
                state="ready",
                counts=serving.counts(version),
                drawn=serving.drawn_counts(version, plan.canary),
            )
            for version in plan.named
        }
        for version, reason in refused.items():
            versions[version] = VersionStatus(state="refused", reason=reason)
        for version in set(plan.release.versions()) - set(versions):
            versions[version] = VersionStatus(state="loading")
        status = ReplicaStatus(
            replica=self._replica,
            revision=plan.release.revision,
            champion=int(plan.champion.version),
            canary_since=plan.canary.since if plan.canary else None,
            versions=versions,
            problem=self._problem,
        )
        self._write(status)

    def _write(self, status: ReplicaStatus) -> None:
        """Write the status beside the release, or elsewhere while there is no such folder."""
        try:
            write_status(self._folder, status)
            reason = ""
        except OSError as error:
            reason = error.strerror or repr(error)
        if self._beside is not None:
            with suppress(OSError):
                if reason:
                    make_status_folder(self._beside)
                    write_status(self._beside, status)
                else:
                    remove_status(self._beside, self._replica)
        # Once, not every second; a folder that is gone is logged with the release.
        if reason and reason != self._unwritten and self._folder.is_dir():
            _log.warning("the status of this replica cannot be written: %s", reason)
        self._unwritten = reason


def _lower_priority() -> None:
    """Lower the priority of this thread below those that answer; Linux has one for each thread."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)
