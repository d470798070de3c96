"""Rows that count once."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.errors import StorageError
from rayml.serve.release.counted_rows import FILE, CountedRows, begin_counting, mark
from rayml.serve.release.status import ReplicaStatus, make_status_folder, write_status


def marks(*names: object) -> list[bytes]:
    return [mark("scope", str(name)) for name in names]


def test_a_row_counts_once_in_its_scope(tmp_path: Path) -> None:
    counted = CountedRows(tmp_path)
    assert counted.claim(marks("a", "b", "a")) == [True, True, False]
    assert counted.claim(marks("b", "c")) == [False, True]
    assert counted.claim([mark("other", "a")]) == [True]
    assert mark("a", "bc") != mark("ab", "c")


@given(st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(0, 9), max_size=6)), max_size=8))
def test_replicas_count_what_one_would(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[int, list[int]]]
) -> None:
    replicas = [CountedRows(folder := tmp_path_factory.mktemp("model")) for _ in range(1)]
    replicas += [CountedRows(folder) for _ in range(2)]
    seen: set[int] = set()
    for replica, rows in calls:
        expected = []
        for row in rows:
            expected.append(row not in seen)
            seen.add(row)
        assert replicas[replica].claim(marks(*rows)) == expected


def test_at_once_each_row_counts_for_one(tmp_path: Path) -> None:
    found: list[int] = []

    def send() -> None:
        counted = CountedRows(tmp_path)
        found.append(sum(sum(counted.claim(marks(*range(n, n + 20)))) for n in range(50)))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sum(found) == 69


def test_memory_is_bounded_and_the_younger_half_is_kept(tmp_path: Path) -> None:
    one, two = (CountedRows(tmp_path, most=100) for _ in range(2))
    two.claim(marks(0))
    for number in range(1, 101):
        assert one.claim(marks(number)) == [True]
    assert (tmp_path / FILE).stat().st_size == 50 * 16
    for counted in (one, two):
        assert counted.claim(marks(100, 51)) == [False, False]
    assert two.claim(marks(50)) == [True]
    assert one.claim(marks(50)) == [False]
    assert len(one._marks) == len(two._marks) == 51


def test_a_torn_mark_is_taken_off(tmp_path: Path) -> None:
    CountedRows(tmp_path).claim(marks(1, 2))
    with (tmp_path / FILE).open("ab") as file:
        file.write(b"torn")
    assert CountedRows(tmp_path).claim(marks(1, 2, 3)) == [False, False, True]
    assert (tmp_path / FILE).stat().st_size == 3 * 16


def test_what_cannot_be_noted_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = CountedRows(tmp_path)
    counted.claim(marks(1))
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, data: write(file, data[:20]))
        with pytest.raises(OSError, match="No space"):
            counted.claim(marks(2, 3))
    assert (tmp_path / FILE).stat().st_size == 16
    assert counted.claim(marks(1, 2, 3)) == [False, True, True]
    with pytest.raises(StorageError):
        CountedRows(tmp_path / "gone").claim(marks(1))
    assert not (tmp_path / "gone").exists()


def test_marks_begin_with_the_first_replica(tmp_path: Path) -> None:
    counted = CountedRows(tmp_path)
    counted.claim(marks(1, 2))
    make_status_folder(tmp_path)
    write_status(tmp_path, ReplicaStatus(replica="r1", revision=1, champion=1))
    begin_counting(tmp_path)
    assert counted.claim(marks(1)) == [False]
    (tmp_path / "replicas" / "r1.json").unlink()
    begin_counting(tmp_path)
    assert counted.claim(marks(1)) == [True]
    begin_counting(tmp_path / "gone")
