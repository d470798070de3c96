"""Keeps what a replica's answers came to: counts, the access log, and traces.

An answer costs the event loop a few microseconds; what takes longer, writing above all, is done by
a thread a few times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from rayml.serve.access_log import AccessLog
from rayml.serve.answered import Observer, observers
from rayml.serve.exposition import CONTENT_TYPE, exposition
from rayml.serve.http import Request, Response
from rayml.serve.metrics import SNAPSHOT, Load, Metrics
from rayml.serve.routes import Route
from rayml.serve.served import ServedModel
from rayml.serve.status_files import PERIOD_S, StatusFiles
from rayml.serve.tracing import Tracing, tracer_provider
from rayml.serve_settings import ServeSettings

_log = logging.getLogger(__name__)
# The access log is written this often: the shorter, the less is written at a time, while
# requests wait.
_FLUSH_S = 0.25


class Recorder:
    """Records the answers of one replica until it is closed.

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
        self._metrics = Metrics(replica)
        self._files = StatusFiles(folder, replica)
        self._access_log = access_log
        self._tracing = tracing
        sinks: list[Observer] = [self._metrics.observe]
        if access_log is not None:
            sinks.append(access_log.observe)
        if tracing is not None:
            sinks.append(tracing.observe)
        self.observe: Observer = observers(*sinks)
        self.route = Route("GET", "/metrics", self._page, scope="admin")
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, load: Callable[[], Load]) -> None:
        """Write from now on.

        Args:
            load: gives what the replica has in hand.
        """
        self._load = load
        self._tell()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what is left; the replica counts no more among those that run."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        with contextlib.suppress(OSError):
            self._files.remove()  # else the others find it too old before long
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
                self._tell()

    def _flush(self) -> None:
        if self._access_log is not None:
            self._access_log.flush()

    def _tell(self) -> None:
        try:
            self._write()
        except OSError as error:
            _log.warning("the counts of this replica cannot be written: %s", error)

    def _write(self) -> None:
        self._files.write(SNAPSHOT.dump_json(self._metrics.snapshot(self._load)))

    async def _page(self, _request: Request, _model: ServedModel) -> Response:
        """Give the metrics of all replicas; files are read in a thread."""
        body = await asyncio.get_running_loop().run_in_executor(None, self._text)
        return Response(200, body, content_type=CONTENT_TYPE)

    def _text(self) -> bytes:
        # What this replica has told others counts, so that no counter goes back when it is
        # another replica that answers next.
        self._write()
        return exposition([SNAPSHOT.validate_json(told) for told in self._files.read()])


def make_recorder(replica: str, settings: ServeSettings) -> Recorder:
    """Make the recorder of a replica as the settings, whose folder is named, have it."""
    log, tracing = settings.access_log, settings.tracing
    assert settings.metrics_folder is not None
    return Recorder(
        replica,
        Path(settings.metrics_folder),
        access_log=AccessLog(log, replica=replica) if log is not None else None,
        tracing=Tracing(tracer_provider(tracing.endpoint, tracing.sample_ratio, replica))
        if tracing.endpoint is not None
        else None,
    )
