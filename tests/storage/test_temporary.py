"""What a process leaves behind goes; what one that lives needs stays."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayml.storage import temporary
from rayml.storage.temporary import claim, make_folder, remove_folder, sweep, temporary_folder

MAKE = "from rayml.storage.temporary import make_folder; print(make_folder('metrics'))"


@pytest.fixture(autouse=True)
def below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in place of the machine's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(temporary, "shared_folder", lambda: tmp_path / "rayml-shared")
    return tmp_path


@pytest.fixture
def left(below: Path) -> Path:
    """A folder of a process that has ended without removing it."""
    done = subprocess.run(
        [sys.executable, "-c", MAKE],
        env={**os.environ, "TMPDIR": str(below)},
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(done.stdout.strip())


def ended() -> int:
    """A process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


def test_a_folder_goes_with_its_context() -> None:
    with temporary_folder("register") as folder:
        (folder / "file").write_text("x")
        assert folder.stat().st_mode & 0o777 == 0o700
        sweep()
        assert (folder / "file").exists()
    assert not folder.exists()


def test_what_a_dead_process_left_is_swept(left: Path) -> None:
    (left / "below").mkdir()
    assert left.is_dir()
    sweep()
    assert not left.exists()


def test_what_a_living_process_needs_stays(below: Path) -> None:
    ask = "input()"
    with subprocess.Popen(
        [sys.executable, "-c", f"{MAKE}; import sys; sys.stdout.flush(); {ask}"],
        env={**os.environ, "TMPDIR": str(below)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        sweep()
        assert folder.is_dir()
        process.communicate("\n")
    sweep()
    assert not folder.exists()


def test_an_id_that_is_used_again_protects_nothing(below: Path) -> None:
    folder = make_folder("metrics")
    _, _, pid, started, namespace, machine, name = folder.name.split("-")
    for other, kept in (
        ((pid, started, namespace), True),
        ((pid, str(int(started) - 1), namespace), False),
        ((pid, started, str(int(namespace) + 1)), True),
        ((str(ended()), started, str(int(namespace) + 1)), True),  # of another container
    ):
        moved = folder.rename(below / "-".join(["rayml-metrics", *other, machine, name]))
        sweep()
        assert moved.exists() == kept
        moved.mkdir(exist_ok=True)
        folder = moved


def test_links_and_what_is_named_otherwise_are_left_alone(left: Path, below: Path) -> None:
    elsewhere = below / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("x")
    (left / "link").symlink_to(elsewhere)
    link = left.with_name(f"{left.name}x")
    link.symlink_to(elsewhere)
    others = [below / name for name in ("rayml-metrics-abcd1234", "rayml-notes", "other")]
    for other in others:
        other.mkdir()
    sweep()
    assert not left.exists()
    assert link.is_symlink()
    assert (elsewhere / "file").exists()
    assert all(other.is_dir() for other in others)


def test_a_shared_folder_goes_with_its_last_owner(below: Path) -> None:
    shared = below / "rayml-shared"
    lives, dead, unclaimed = (shared / name for name in ("lives", "dead", "unclaimed"))
    for folder in (lives, dead, unclaimed):
        folder.mkdir(parents=True)
    claim(lives, os.getpid())
    claim(dead, ended())
    sweep()
    assert sorted(each.name for each in shared.iterdir()) == ["lives", "unclaimed"]
    claim(unclaimed, ended())
    remove_folder(lives)
    sweep()
    assert not shared.exists()


def test_a_shared_folder_that_is_a_link_is_left_alone(below: Path) -> None:
    elsewhere = below / "elsewhere" / "dead"
    elsewhere.mkdir(parents=True)
    claim(elsewhere, ended())
    (below / "rayml-shared").symlink_to(elsewhere.parent)
    sweep()
    assert elsewhere.is_dir()


def test_what_another_machine_needs_stays(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines may share a folder; the processes of one are not seen on another."""
    here = os.uname()
    other = os.uname_result((here.sysname, "another", *here[2:]))
    with monkeypatch.context() as patch:
        patch.setattr(os, "uname", lambda: other)
        sweep()
        assert left.is_dir()
    sweep()
    assert not left.exists()


def test_a_folder_whose_name_has_no_machine_is_swept(left: Path) -> None:
    kind, pid, started, namespace, _, rest = left.name.removeprefix("rayml-").split("-")
    old = left.rename(left.with_name(f"rayml-{kind}-{pid}-{started}-{namespace}-{rest}"))
    sweep()
    assert not old.exists()
