from __future__ import annotations

import threading
from pathlib import Path

import pytest

from rayml.data.prepare.store import hash_of, writing
from rayml.errors import StorageError


def test_the_hash_depends_on_values_and_not_on_the_order_of_keys() -> None:
    assert hash_of({"a": 1, "b": [2, None]}) == hash_of({"b": [2, None], "a": 1})
    assert hash_of({"a": 1}) != hash_of({"a": "1"})


def test_a_folder_appears_complete(tmp_path: Path) -> None:
    folder = tmp_path / "store" / "x"
    with writing(folder) as temporary:
        (temporary / "file").write_text("content")
        assert not folder.exists()
    assert (folder / "file").read_text() == "content"
    assert list(folder.parent.iterdir()) == [folder]


def test_a_failed_writer_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with writing(tmp_path / "x") as temporary:
            (temporary / "file").write_text("content")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_the_first_of_several_writers_wins(tmp_path: Path) -> None:
    folder, barrier = tmp_path / "x", threading.Barrier(4)

    def write(name: str) -> None:
        with writing(folder) as temporary:
            (temporary / "who").write_text(name)
            barrier.wait()

    writers = [threading.Thread(target=write, args=(str(i),)) for i in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert list(tmp_path.iterdir()) == [folder]
    assert (folder / "who").read_text() in "0123"


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("a file")
    with pytest.raises(OSError, match="x"), writing(tmp_path / "x"):
        pass


def test_a_store_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = tmp_path / "file" / "store"
    with pytest.raises(StorageError, match=f"cannot write {store}"), writing(store / "x"):
        pass
