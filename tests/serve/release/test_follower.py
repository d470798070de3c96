"""A replica switches to whole versions only, and says what keeps it from following."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from pathlib import Path

import httpx
import pytest

from rayml.errors import ServeError
from rayml.registry import release as releases
from rayml.registry.store import Registry
from rayml.serve.observe.request_counts import RequestCounts
from rayml.serve.predict.predictor import Predictor
from rayml.serve.release.follower import Follower
from rayml.serve.release.status import read_statuses
from tests.processes import wait_until
from tests.serve.following import (
    ROW,
    app_of,
    change,
    holds,
    load,
    post,
    until,
    versions,
)


def test_a_swap_under_load_fails_nothing_and_mixes_no_versions(
    registry: Registry, follower: Follower, three_versions: list[Path]
) -> None:
    own = {
        str(number): Predictor.load(bundle).predict_rows([ROW])[0]["probability"]
        for number, bundle in enumerate(three_versions, 1)
    }
    assert len(set(own.values())) == 3
    seen: Counter[str] = Counter()
    done = threading.Event()

    async def load_until_done() -> None:
        transport = httpx.ASGITransport(app=app_of(follower))  # type: ignore[arg-type]

        async def ask(client: httpx.AsyncClient) -> None:
            while not done.is_set():
                response = await client.post("/predict", json=[ROW] * 3)
                assert response.status_code == 200
                version = response.headers["x-model-version"]
                for answer in response.json()["predictions"]:
                    assert answer["probability"] == pytest.approx(own[version], abs=1e-6)
                seen[version] += 1

        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            await asyncio.gather(*(ask(client) for _ in range(8)))

    def swap() -> None:
        for version in (2, 3, 1):
            change(registry, lambda seen, version=version: releases.promote(seen, version, "t"))
            until(registry, lambda status, version=version: status.champion == version)
        change(registry, lambda seen: releases.roll_back(seen, "t"))
        until(registry, lambda status: status.champion == 3)
        done.set()

    swapping = threading.Thread(target=swap)
    swapping.start()
    asyncio.run(load_until_done())
    swapping.join()
    assert set(seen) == {"1", "2", "3"}
    assert versions(post(follower, [ROW] * 5)) == {"3": 5}
    (status,) = read_statuses(registry.folder("boxes"))
    assert status.champion == 3


def test_the_previous_version_stays_loaded(registry: Registry, follower: Follower) -> None:
    change(registry, lambda seen: releases.promote(seen, 2, "t"))
    until(registry, holds(1))
    first = follower.serving.plan.named["1"]
    change(registry, lambda seen: releases.roll_back(seen, "t"))
    until(registry, lambda status: status.champion == 1)
    assert follower.serving.champion is first


def test_a_version_that_does_not_load_leaves_the_old_one_and_says_why(
    registry: Registry, follower: Follower
) -> None:
    change(registry, lambda seen: releases.promote(seen, 2, "t"))
    weights = registry.resolve("boxes", 2) / "weights.safetensors"
    until(registry, holds(2))
    registry.register(registry.resolve("boxes", 3))
    change(registry, lambda seen: releases.promote(seen, 3, "t"))
    until(registry, holds(3))
    broken = registry.resolve("boxes", 4) / "weights.safetensors"
    broken.write_bytes(broken.read_bytes()[:50])
    # As another process would that does not verify: past the registry's own check.
    file = registry.folder("boxes") / "release.json"
    release = json.loads(file.read_text())
    part = file.with_suffix(".test")
    part.write_text(json.dumps({**release, "revision": release["revision"] + 1, "champion": 4}))
    part.replace(file)
    status = until(registry, holds(4))
    assert "weights.safetensors" in status.refusal(4)
    assert status.champion == 3
    assert versions(post(follower, [ROW] * 5)) == {"3": 5}
    assert weights.exists()


def test_a_replica_that_starts_takes_the_version_before_a_broken_one(
    registry: Registry, follower: Follower
) -> None:
    change(registry, lambda seen: releases.promote(seen, 2, "t"))
    (registry.resolve("boxes", 2) / "bundle.json").unlink()
    late = Follower(registry, "boxes", load, requests=RequestCounts("r1"))
    assert late.serving.champion.version == "1"
    late.close()
    change(registry, lambda seen: releases.roll_back(seen, "t"))
    (registry.resolve("boxes", 1) / "bundle.json").unlink()
    with pytest.raises(ServeError, match=r"bundle\.json"):
        Follower(registry, "boxes", load, requests=RequestCounts("r1"))


def until_told(registry: Registry, word: str) -> None:
    """Wait until a replica says what keeps it from following."""
    pause, folder = threading.Event(), registry.folder("boxes")
    for _ in range(200):
        if any(word in each.problem for each in read_statuses(folder)):
            return
        pause.wait(0.05)
    raise AssertionError(read_statuses(folder))


def test_a_torn_release_is_told_and_changes_nothing(registry: Registry, follower: Follower) -> None:
    file = registry.folder("boxes") / "release.json"
    whole = file.read_text()
    file.write_text(whole[:40])
    until_told(registry, "release.json")
    assert versions(post(follower, [ROW] * 3)) == {"1": 3}
    file.write_text(whole)
    until(registry, lambda status: not status.problem)


def test_a_release_that_is_away_is_told_and_changes_nothing(
    registry: Registry, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = registry.folder("boxes") / "release.json"
    away = file.rename(file.with_suffix(".away"))
    until_told(registry, "champion")
    assert versions(post(follower, [ROW] * 3)) == {"1": 3}
    away.rename(file)
    until(registry, lambda status: not status.problem)

    def stale(self: Registry, name: str) -> None:
        raise OSError("stale handle")

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "release", stale)
        file.touch()
        until_told(registry, "stale handle")
    until(registry, lambda status: not status.problem)
    change(registry, lambda seen: releases.promote(seen, 2, "t"))
    until(registry, holds(2))
    assert versions(post(follower, [ROW] * 3)) == {"2": 3}


def test_a_replica_that_ends_takes_its_status_away(registry: Registry) -> None:
    follower = Follower(registry, "boxes", load, requests=RequestCounts("r1"))
    follower.start()
    until(registry, holds(1))
    follower.close()
    assert read_statuses(registry.folder("boxes")) == []


def test_a_registry_that_is_removed_is_not_made_again_and_is_told(
    registry: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    beside = tmp_path / "endpoints"
    beside.mkdir()
    follower = Follower(registry, "boxes", load, requests=RequestCounts("r1"), beside=beside)
    follower.start()
    try:
        until(registry, lambda status: status.champion == 1)
        assert read_statuses(beside) == []
        # A folder is removed file by file; the release may be the first.
        file = registry.folder("boxes") / "release.json"
        kept = file.read_bytes()
        file.unlink()
        folder = registry.folder("boxes")
        wait_until(lambda: bool(read_statuses(folder)[0].problem), "that the file is gone is told")
        away = registry.root.rename(tmp_path / "away")
        wait_until(lambda: bool(read_statuses(beside)), "the status is told elsewhere")
        wait_until(lambda: "is gone" in read_statuses(beside)[0].problem, "with what is wrong")
        (status,) = read_statuses(beside)
        assert "is gone; version 1 is served on" in status.problem
        assert versions(post(follower, [ROW] * 3)) == {"1": 3}
        (file,) = (beside / "replicas").glob("*.json")
        for _ in range(2):  # further turns of those who write
            before = file.stat().st_mtime_ns
            wait_until(lambda: file.stat().st_mtime_ns > before, "it is told again")  # noqa: B023
        assert not registry.root.exists()
        gone = [each for each in caplog.messages if "is gone" in each]
        assert len(gone) == 1
        assert "cannot be written" not in caplog.text
        (away / "boxes/release.json").write_bytes(kept)
        away.rename(registry.root)
        until(registry, lambda status: not status.problem)
        wait_until(lambda: read_statuses(beside) == [], "the other status is taken away")
        assert "followed again" in caplog.text
    finally:
        follower.close()
