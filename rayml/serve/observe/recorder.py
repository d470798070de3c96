"""Records the requests of a replica: counts, the access log, and traces.

A request costs the event loop a few microseconds; slower work, above all writing, is done by a
thread a few times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rayml.serve.http.messages import ModelVersion, Request, Response
from rayml.serve.http.request_record import Observer, observers
from rayml.serve.observe.access_log import AccessLog, make_access_log
from rayml.serve.observe.exposition import CONTENT_TYPE, exposition
from rayml.serve.observe.request_counts import SNAPSHOT, Load, RequestCounts, Snapshot
from rayml.serve.observe.status_files import PERIOD_S, StatusFiles
from rayml.serve.observe.tracing import Tracing, tracer_provider
from rayml.settings.serve import ServeSettings

_log = logging.getLogger(__name__)
# The access log is written this often: the shorter, the less is written at a time, while
# requests wait.
_FLUSH_S = 0.25
FOLDER_FULL = "metrics folder full"


class Recorder:
    """Records the requests of one replica until it is closed.

    Args:
        replica: its id.
        folder: that the replicas of the endpoint share; see `StatusFiles`.
        access_log: None for none.
        tracing: None for none.
    """

    def __init__(
        self,
        replica: str,
        folder: Path,
        *,
        access_log: AccessLog | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.counts = RequestCounts(replica)
        self._files = StatusFiles(folder, replica)
        self._folder = folder
        self._problem = ""
        self._access_log = access_log
        self._tracing = tracing
        sinks: list[Observer] = [self.counts.observe]
        if access_log is not None:
            sinks.append(access_log.observe)
        if tracing is not None:
            sinks.append(tracing.observe)
        self.observe: Observer = observers(*sinks)
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, load: Callable[[], Load]) -> None:
        """Write from now on.

        Args:
            load: gives the load of the replica.
        """
        self._load = load
        with contextlib.suppress(OSError):  # the next write reports it
            self._folder.mkdir(parents=True, exist_ok=True)
        self._write()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write the last lines, and remove the status of the replica."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        with contextlib.suppress(OSError):
            self._files.remove()  # else the others find it too old after a while
        if self._access_log is not None:
            self._access_log.close()
        if self._tracing is not None:
            self._tracing.close()

    def _run(self) -> None:
        turns = round(PERIOD_S / _FLUSH_S)
        turn = 0
        while not self._ended.wait(_FLUSH_S):
            self._flush()
            turn = (turn + 1) % turns
            if turn == 0:
                self._write()

    def _flush(self) -> None:
        if self._access_log is not None:
            self._access_log.flush()

    def _write(self) -> Snapshot:
        """Write the counts of this replica for the others; log once if that fails."""
        lost = self._access_log.lost if self._access_log is not None else 0
        snapshot = self.counts.snapshot(self._load, problem=self._problem, lost_lines=lost)
        try:
            self._files.write(SNAPSHOT.dump_json(snapshot))
        except OSError as error:
            problem = _trouble(error)
        else:
            problem = ""
        if problem != self._problem:
            self._problem = problem
            if problem:
                _log.error("%s: %s; /metrics lacks replicas", problem, self._folder)
            else:
                _log.warning("the metrics folder can be written again: %s", self._folder)
        return replace(snapshot, problem=problem)

    async def page(self, _request: Request, _model: ModelVersion) -> Response:
        """Give the metrics of all replicas; files are read in a thread."""
        body = await asyncio.get_running_loop().run_in_executor(None, self._text)
        return Response(200, body, content_type=CONTENT_TYPE)

    def _text(self) -> bytes:
        # The counts are written before they are shown, so that no counter decreases when another
        # replica answers next.
        own = self._write()
        try:
            found = [SNAPSHOT.validate_json(each) for each in self._files.read()]
        except OSError:  # the folder is gone, as the log says
            found = []
        others = [each for each in found if each.replica != own.replica]
        return exposition(sorted([own, *others], key=lambda each: each.replica))


def _trouble(error: OSError) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return FOLDER_FULL
    return f"metrics folder cannot be written ({error.strerror})"


def make_recorder(replica: str, settings: ServeSettings) -> Recorder:
    """Make the recorder of a replica from settings that name the folder."""
    tracing = settings.tracing
    assert settings.metrics_folder is not None
    return Recorder(
        replica,
        Path(settings.metrics_folder),
        access_log=make_access_log(settings, replica),
        tracing=Tracing(tracer_provider(tracing.endpoint, tracing.sample_ratio, replica))
        if tracing.endpoint is not None
        else None,
    )
