"""The file of keys is private, and rotates while it is used."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from rayml.errors import ServeError, StorageError
from rayml.serve.access.key_file import KeyFile, add_key, keys_besides, read_keys
from rayml.serve.access.keys import SCOPES, Keys, new_key
from tests.disks import fill


def accepts(keys: Keys, token: str) -> bool:
    return keys.check(token.encode(), "predict").status == 200


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_file_is_made_private_and_grows(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "keys"
    made = [new_key(f"k{i}", ["predict"]) for i in range(3)]
    for _, key in made:
        add_key(path, key)
    assert path.stat().st_mode & 0o777 == 0o600
    keys, _ = read_keys(path)
    assert all(accepts(keys, token) for token, _ in made)
    assert not any(token in path.read_text() for token, _ in made)


def test_a_last_line_without_an_end_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    (one, first), (two, second) = new_key("a", ["predict"]), new_key("b", ["predict"])
    add_key(path, first)
    path.write_text(path.read_text().strip())
    add_key(path, second)
    keys, _ = read_keys(path)
    assert accepts(keys, one)
    assert accepts(keys, two)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_a_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys"
    _, key = new_key("a", ["predict"])
    add_key(path, key)
    path.chmod(mode)
    for use in (read_keys, KeyFile, lambda path: add_key(path, key)):
        with pytest.raises(ServeError, match=rf"mode {mode:04o}.*chmod 600"):
            use(path)


def test_what_is_no_file_is_refused_with_the_way_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ServeError, match="rayml key NAME"):
        read_keys(tmp_path / "absent")
    with pytest.raises(StorageError, match=f"cannot write {tmp_path}: is a directory"):
        add_key(tmp_path, new_key("a", ["predict"])[1])
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    binary.chmod(0o600)
    with pytest.raises(ServeError, match="UTF-8"):
        read_keys(binary)


def test_keys_rotate_while_they_are_used(tmp_path: Path) -> None:
    path, clock = tmp_path / "keys", Clock()
    (old, first), (new, second) = new_key("a", ["predict"]), new_key("a", ["predict"])
    add_key(path, first)
    file = KeyFile(path, clock=clock)
    add_key(path, second)
    assert not accepts(file.current(), new)
    clock.now += 1
    assert accepts(file.current(), new)
    assert accepts(file.current(), old)
    path.write_text(second.line())
    clock.now += 1
    assert accepts(file.current(), new)
    assert not accepts(file.current(), old)


def test_a_file_that_breaks_leaves_the_keys_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, clock = tmp_path / "keys", Clock()
    token, key = new_key("a", ["predict"])
    add_key(path, key)
    file = KeyFile(path, clock=clock)
    for break_it in (
        lambda: path.write_text(f"a predict {token}"),
        lambda: path.chmod(0o644),
        path.unlink,
    ):
        caplog.clear()
        break_it()
        with caplog.at_level(logging.ERROR):
            for _ in range(3):
                clock.now += 1
                assert accepts(file.current(), token)
        assert len(caplog.records) == 1
        assert token not in caplog.text
    add_key(path, new_key("b", ["predict"])[1])
    clock.now += 1
    assert not accepts(file.current(), token)


def test_keys_of_the_environment_leave_only_their_hashes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert keys_besides(None, None) == ()
    (one, first), (two, second) = new_key("a", ["predict"]), new_key("b", SCOPES)
    monkeypatch.setenv("KEYS", f"a predict {one}; b admin,feedback,predict {two}")
    assert keys_besides(None, "KEYS") == (first, second)
    monkeypatch.delenv("KEYS")
    with pytest.raises(ServeError, match=r"KEYS.*Set it"):
        keys_besides(None, "KEYS")
    with pytest.raises(ServeError, match="cannot be read"):
        keys_besides(str(tmp_path / "absent"), None)


def test_a_key_that_finds_no_room_leaves_the_file_as_it_was(small_disk: Path) -> None:
    path = small_disk / "keys"
    _, first = new_key("first", SCOPES)
    add_key(path, first)
    before = path.read_bytes()
    fill(small_disk)
    # The last page of the file has room for a part of a line.
    path.write_bytes(before + b"#" * (4096 - len(before) - 20) + b"\n")
    whole = path.read_bytes()
    with pytest.raises(StorageError, match=rf"cannot write {path}: no space left on device"):
        add_key(path, new_key("second", SCOPES)[1])
    assert path.read_bytes() == whole
