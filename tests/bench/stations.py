"""The functions of rayml that one `/predict` request of one row enters, in their order.

    python tests/bench/stations.py

The app is the one that a replica makes for a release without canary or shadow, with an access log
and without keys; its server is left out. Requests before the counted one warm it up, and the
forward pass runs on the event loop. A comprehension counts as a function.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

from bench_case import write_case

import rayml
from rayml.registry import release as releases
from rayml.registry.store import Registry
from rayml.serve.access.guard import Guard
from rayml.serve.access.hosts import Hosts
from rayml.serve.access.site import Site
from rayml.serve.app.app import EndpointApp
from rayml.serve.model.served import ServedModel
from rayml.serve.observe.recorder import make_recorder
from rayml.serve.predict.predictor import Predictor
from rayml.serve.release.follower import Follower
from rayml.settings.serve import ServeSettings

ROOT = str(Path(rayml.__file__).parent)
MODEL = {"width": 128, "depth": 3, "dropout": 0.1}


def make_app(folder: Path) -> EndpointApp:
    """Make the app of a replica that follows a release of one version."""
    registry = Registry(folder / "registry")
    registry.register(folder / "bundle")
    registry.change_release("model", lambda seen: releases.promote(seen, 1, "first"))
    settings = ServeSettings(metrics_folder=str(folder), access_log=str(folder / "access.jsonl"))

    def load(bundle: Path, version: str) -> ServedModel:
        model = ServedModel(Predictor.load(bundle), version=version, settings=settings)
        model._batcher._max_loop_items = 1000  # on a busy machine it would be 0
        return model

    recorder = make_recorder("r1", settings)
    follower = Follower(registry, "model", load, requests=recorder.counts)
    return EndpointApp(
        follower.serving,
        settings=settings,
        guard=Guard(None, None),
        site=Site(Hosts(bound="127.0.0.1"), ()),
        observe=recorder.observe,
    )


async def ask(app: EndpointApp, body: bytes) -> None:
    """Send one request, as a server does."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "headers": [(b"host", b"127.0.0.1:8000"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
    }
    await app(scope, receive, send)
    assert sent[0]["status"] == 200, sent


async def entered(work: Callable[[], Awaitable[None]]) -> list[str]:
    """Functions of rayml that work enters, each once, in their order."""
    found: dict[str, None] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(ROOT):
            found[f"{code.co_filename.removeprefix(ROOT)} {code.co_qualname}"] = None

    sys.setprofile(note)
    try:
        await work()
    finally:
        sys.setprofile(None)
    return list(found)


async def main(folder: Path) -> None:
    """Count the stations of one request."""
    predictor, raw = write_case(folder, MODEL)
    columns = [column.name for column in predictor.signature.inputs]
    body = json.dumps(raw.slice(0, 1).select(columns).to_pylist()[0]).encode()
    app = make_app(folder)
    for _ in range(3):
        await ask(app, body)
    found = await entered(lambda: ask(app, body))
    print(*found, sep="\n")
    print(f"{len(found)} functions in {len({each.split()[0] for each in found})} files")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))
