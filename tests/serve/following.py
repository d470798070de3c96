"""A replica that follows the release of a small registry, without a server."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa

from rayml.registry import release as releases
from rayml.registry.store import Registry
from rayml.serve.app.app import EndpointApp
from rayml.serve.app.routes import ROUTES, Route, Router
from rayml.serve.model.served import ServedModel
from rayml.serve.observe.request_counts import RequestCounts
from rayml.serve.predict.predictor import Predictor
from rayml.serve.release.counted_rows import CountedRows
from rayml.serve.release.feedback import Feedback
from rayml.serve.release.follower import Follower
from rayml.serve.release.status import ReplicaStatus, read_statuses
from rayml.settings.serve import ServeSettings
from rayml.testing.bundles import untrained_bundle

ROW = {"size": 1.5, "colour": "red", "new": True}
SETTINGS = ServeSettings()


def three_bundles(table: pa.Table, folder: Path) -> list[Path]:
    """Three versions whose predictions differ."""
    inputs = table.select([*table.column_names[:5], "label"])
    return [
        untrained_bundle(
            folder / str(width),
            inputs,
            target="label",
            task="binary",
            name="boxes",
            model={"_target_": "rayml.models.nets.mlp.MLP", "width": width, "depth": 2},
        )
        for width in (8, 16, 24)
    ]


def released(folder: Path, bundles: list[Path]) -> Registry:
    """A registry of them whose champion is the first."""
    registry = Registry(folder)
    for bundle in bundles:
        registry.register(bundle)
    change(registry, lambda seen: releases.promote(seen, 1, "first"))
    return registry


def change(registry: Registry, transition: Callable[[releases.Release], releases.Release]) -> None:
    registry.change_release("boxes", transition)


def load(folder: Path, version: str) -> ServedModel:
    return ServedModel(Predictor.load(folder), version=version, settings=SETTINGS)


@contextmanager
def following(registry: Registry) -> Iterator[Follower]:
    """A replica that follows meanwhile."""
    follower = Follower(registry, "boxes", load, requests=RequestCounts("r1"))
    follower.start()
    try:
        yield follower
    finally:
        follower.close()


def until(registry: Registry, true: Callable[[ReplicaStatus], bool]) -> ReplicaStatus:
    """Wait until the only replica says what is wanted of the present release."""
    revision = registry.release("boxes").revision
    pause = threading.Event()
    for _ in range(600):
        for status in read_statuses(registry.folder("boxes")):
            if status.revision == revision and true(status):
                return status
        pause.wait(0.05)
    raise AssertionError(read_statuses(registry.folder("boxes")))


def holds(version: int) -> Callable[[ReplicaStatus], bool]:
    return lambda status: status.follows(status.revision, version)


def app_of(follower: Follower) -> EndpointApp:
    claim = CountedRows(follower._folder).claim
    feedback = Route("POST", "/feedback", Feedback(follower.serving, claim), predicts=True)
    serving = follower.serving
    return EndpointApp(
        serving,
        settings=SETTINGS,
        router=Router((*ROUTES, feedback)),
        observe=serving.requests.observe,
    )


def post(follower: Follower, bodies: list[Any], path: str = "/predict", **more: Any) -> list[Any]:
    async def send() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app_of(follower))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return [await client.post(path, json=body, **more) for body in bodies]

    return asyncio.run(send())


def versions(responses: list[httpx.Response]) -> Counter[str]:
    assert {each.status_code for each in responses} == {200}
    return Counter(each.headers["x-model-version"] for each in responses)
