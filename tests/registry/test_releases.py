"""Releases on the disk: one of several writers wins, and a torn or half-copied one is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rayml.errors import BundleError, RegistryError
from rayml.registry import release as releases
from rayml.registry.releases import Releases
from rayml.registry.store import Registry


@pytest.fixture
def registry(tmp_path: Path, bundle: Path) -> Registry:
    registry = Registry(tmp_path / "registry")
    for _ in range(3):
        registry.register(bundle)
    return registry


def promote(registry: Registry, version: int, expected: int | None = None) -> None:
    registry.change_release(
        "boxes", lambda seen: releases.promote(seen, version, "test"), expected=expected
    )


def test_the_alias_is_the_champion_of_the_release(registry: Registry) -> None:
    promote(registry, 1)
    registry.move_alias("boxes", "champion", 2, expected=1)
    registry.move_alias("boxes", "challenger", 3, expected=None)
    assert registry.aliases("boxes") == {"champion": 2, "challenger": 3}
    release = registry.release("boxes")
    assert (release.champion, release.previous, release.revision) == (2, 1, 2)
    assert registry.resolve("boxes").name == "2"


def test_an_alias_of_a_registry_that_knew_no_releases_counts(registry: Registry) -> None:
    (registry.root / "boxes" / "aliases.json").write_text('{"champion": 2}')
    assert registry.release("boxes").champion == 2
    promote(registry, 3, expected=0)
    assert registry.release("boxes").previous == 2
    assert registry.aliases("boxes") == {"champion": 3}


def test_a_change_that_was_decided_upon_another_release_is_refused(registry: Registry) -> None:
    promote(registry, 1, expected=0)
    with pytest.raises(RegistryError, match="promote of version 1"):
        promote(registry, 2, expected=0)
    assert registry.release("boxes").champion == 1


def test_every_change_is_told_once_with_its_reason(registry: Registry) -> None:
    for version in (1, 2, 2, 3):
        promote(registry, version)
    history = registry.history("boxes")
    assert [(each["revision"], each["version"]) for each in history] == [(1, 1), (2, 2), (3, 3)]
    assert {each["reason"] for each in history} == {"test"}


def test_a_writer_that_died_between_release_and_journal_loses_nothing(registry: Registry) -> None:
    for version in (1, 2):
        promote(registry, version)
    journal = registry.root / "boxes" / "release.jsonl"
    whole = journal.read_bytes().splitlines(keepends=True)
    for torn in (whole[0], whole[0] + whole[1][:20]):
        journal.write_bytes(torn)
        assert [each["revision"] for each in registry.history("boxes")] == [1, 2]
    promote(registry, 3)
    assert [each["revision"] for each in registry.history("boxes")] == [1, 2, 3]
    promote(registry, 1)
    assert [each["version"] for each in registry.history("boxes")] == [1, 2, 3, 1]


@pytest.mark.parametrize("part", ["weights.safetensors", "preprocessor", "manifest.json"])
def test_a_version_copied_half_way_is_refused_with_the_file_named(
    registry: Registry, part: str
) -> None:
    promote(registry, 1)
    found = registry.root / "boxes" / "versions" / "2" / part
    if found.is_dir():
        found = next(path for path in sorted(found.iterdir()) if path.is_file())
    content = found.read_bytes()
    for torn in (content[: len(content) // 2], None):
        found.unlink() if torn is None else found.write_bytes(torn)
        with pytest.raises(BundleError, match=found.name.replace(".", r"\.")):
            promote(registry, 2)
    assert registry.release("boxes").champion == 1


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1, "revision": -1}', ""])
def test_a_torn_release_is_refused_with_the_file_named(registry: Registry, content: str) -> None:
    promote(registry, 1)
    (registry.root / "boxes" / "release.json").write_text(content)
    with pytest.raises(RegistryError, match=r"release\.json"):
        registry.resolve("boxes")
    with pytest.raises(RegistryError, match=r"release\.json"):
        promote(registry, 2)


def test_a_release_of_a_newer_rayml_is_refused(registry: Registry) -> None:
    promote(registry, 1)
    file = registry.root / "boxes" / "release.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 2, "news": 1}))
    with pytest.raises(RegistryError, match="Upgrade"):
        Releases(file.parent).read()


PROMOTE = """
import sys
from pathlib import Path
from rayml.errors import RegistryError
from rayml.registry import release
from rayml.registry.store import Registry
registry = Registry(Path(sys.argv[1]))
seen = registry.release("boxes").revision
print("ready", flush=True)
sys.stdin.readline()
try:
    registry.change_release(
        "boxes", lambda r: release.promote(r, int(sys.argv[2]), "race"), expected=seen
    )
    print("won")
except RegistryError:
    print("lost")
"""


def test_of_processes_that_promote_at_once_exactly_one_wins(registry: Registry) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", PROMOTE, str(registry.root), str(version)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for version in (1, 2, 3)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    outcomes = [racer.communicate(timeout=120)[0].strip() for racer in racers]
    assert sorted(outcomes) == ["lost", "lost", "won"]
    assert registry.release("boxes").champion == outcomes.index("won") + 1
    assert len(registry.history("boxes")) == 1
