"""Versions are distinct, aliases move by compare-and-set, torn bundles stay outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rayml.errors import BundleError, RegistryError
from rayml.registry.bundle.bundle import load_bundle
from rayml.registry.champion import act, champion_of
from rayml.registry.promotion import PromotionDecision
from rayml.registry.store import Registry

MakeBundle = Callable[..., Path]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry")


def test_versions_count_from_one(registry: Registry, bundle: Path) -> None:
    assert registry.names() == []
    assert registry.versions("boxes") == []
    assert [registry.register(bundle) for _ in range(3)] == [1, 2, 3]
    assert registry.names() == ["boxes"]
    assert registry.versions("boxes") == [1, 2, 3]
    assert load_bundle(registry.resolve("boxes", 2)).digest == load_bundle(bundle).digest


def test_a_version_is_found_by_number_alias_or_latest(registry: Registry, bundle: Path) -> None:
    for _ in range(2):
        registry.register(bundle)
    registry.move_alias("boxes", "champion", 1, expected=None)
    assert registry.resolve("boxes").name == "1"
    assert registry.resolve("boxes", "latest").name == "2"
    assert registry.resolve("boxes", "2").name == "2"
    for reference in ("challenger", "3", "0", "-1", "..", "²"):
        with pytest.raises(RegistryError):
            registry.resolve("boxes", reference)
    with pytest.raises(RegistryError, match="boxes"):
        registry.resolve("baskets")


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a b", "a\n", "x" * 101, "/etc"])
def test_a_name_that_is_no_folder_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(RegistryError, match="name"):
        registry.versions(name)


def test_an_alias_moves_only_from_where_it_is_believed(registry: Registry, bundle: Path) -> None:
    for _ in range(3):
        registry.register(bundle)
    registry.move_alias("boxes", "champion", 1, expected=None)
    registry.move_alias("boxes", "champion", 2, expected=1)
    with pytest.raises(RegistryError, match="Someone else"):
        registry.move_alias("boxes", "champion", 3, expected=1)
    with pytest.raises(RegistryError, match="Someone else"):
        registry.move_alias("boxes", "champion", 3, expected=None)
    with pytest.raises(RegistryError, match="versions"):
        registry.move_alias("boxes", "champion", 9, expected=2)
    for alias in ("latest", "3", "Champion", "a/b", ""):
        with pytest.raises(RegistryError, match="alias"):
            registry.move_alias("boxes", alias, 3, expected=None)
    assert registry.aliases("boxes") == {"champion": 2}


@pytest.mark.parametrize("content", ["[]", "{", '{"champion": "1"}', '{"champion": true}'])
def test_torn_aliases_are_refused(registry: Registry, bundle: Path, content: str) -> None:
    registry.register(bundle)
    (registry.root / "boxes" / "aliases.json").write_text(content)
    with pytest.raises(RegistryError, match=r"aliases\.json"):
        registry.resolve("boxes", "champion")


def test_a_half_copied_bundle_is_refused_with_the_file_named(
    registry: Registry, bundle: Path
) -> None:
    weights = bundle / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(BundleError, match=r"weights\.safetensors"):
        registry.register(bundle)
    weights.unlink()
    with pytest.raises(BundleError, match=r"weights\.safetensors"):
        registry.register(bundle)
    assert registry.names() == []


REGISTER = """
import sys
from pathlib import Path
from rayml.registry.store import Registry
sys.stdin.readline()
for _ in range(5):
    print(Registry(Path(sys.argv[1])).register(Path(sys.argv[2])), flush=True)
"""


def spawn(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_that_register_at_once_get_distinct_versions(
    registry: Registry, bundle: Path
) -> None:
    processes = [spawn(REGISTER, registry.root, bundle) for _ in range(3)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert all(process.returncode == 0 for process in processes)
    numbers = [int(number) for output in outputs for number in output.split()]
    assert sorted(numbers) == list(range(1, 16)) == registry.versions("boxes")
    for number in numbers:
        load_bundle(registry.resolve("boxes", number))
    assert not list((registry.root / "boxes").glob(".incoming-*"))


PROMOTE = """
import sys
from pathlib import Path
from rayml.errors import RegistryError
from rayml.registry.store import Registry
registry = Registry(Path(sys.argv[1]))
sys.stdin.readline()
try:
    registry.move_alias("boxes", "champion", int(sys.argv[2]), expected=None)
    print("won")
except RegistryError:
    print("lost")
"""


def test_of_two_promotions_at_once_one_wins(registry: Registry, bundle: Path) -> None:
    for _ in range(3):
        registry.register(bundle)
    processes = [spawn(PROMOTE, registry.root, str(number)) for number in (1, 2, 3)]
    outputs = [process.communicate("go\n", timeout=120)[0].strip() for process in processes]
    assert sorted(outputs) == ["lost", "lost", "won"]
    assert registry.aliases("boxes") == {"champion": outputs.index("won") + 1}


HOLD = """
import sys
from pathlib import Path
from rayml.registry.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_killed_process_leaves_no_lock_behind(registry: Registry, bundle: Path) -> None:
    registry.register(bundle)
    process = spawn(HOLD, registry.root / "boxes" / ".lock")
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    registry.move_alias("boxes", "champion", 1, expected=None)
    assert registry.register(bundle) == 2


def test_a_decision_moves_the_alias_and_is_noted(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    for accuracy in (0.5, 0.6):
        registry.register(make_bundle("m", accuracy))
    better = PromotionDecision(
        promote=True, reason="it is better", verdict="better", figures={"rows": 9}
    )
    for version, promote in ((1, True), (2, False), (2, True)):
        seen = registry.release("m")
        act(registry, "m", version, replace(better, promote=promote), seen=seen)
        assert registry.aliases("m") == {"champion": version if promote else 1}
    assert champion_of(registry, "m", registry.release("m")) == (2, registry.resolve("m", 2))
    noted = registry.history("m")[-1]
    assert (noted["reason"], noted["figures"]) == ("it is better", {"rows": 9})
    with pytest.raises(RegistryError, match="changed it first"):
        act(registry, "m", 1, better, seen=seen)
    assert json.loads((registry.root / "m" / "release.json").read_text())["champion"] == 2
