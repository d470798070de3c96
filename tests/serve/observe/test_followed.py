"""What is appended to files, shown elsewhere."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.serve.observe.followed import FollowedFile, shown
from rayml.serve.observe.line_file import LineFile


def test_only_news_is_read_and_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old\n")
    followed = FollowedFile(path)
    assert followed.read() == b""
    with path.open("ab") as file:
        file.write(b"one\ntw")
        file.flush()
        assert followed.read() == b"one\n"
        file.write(b"o\n")
    assert followed.read() == b"two\n"
    followed.close()


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=12))
def test_nothing_is_missed_where_files_are_begun_anew(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, int]]
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    followed, file = FollowedFile(path), LineFile(path, max_bytes=200)
    written = read = b""
    for number, (look, size) in enumerate(steps):
        lines = b"%d %s\n" % (number, b"x" * size)
        file.append(lines)
        written += lines
        # Two new files between two looks are one too many, which at this pace never happens.
        if look or number % 3 == 2:
            read += followed.read()
    assert read + followed.read() == written
    followed.close()
    file.close()


def test_lines_that_were_taken_back_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"")
    followed = FollowedFile(path)
    path.write_bytes(b"one\nhal")
    assert followed.read() == b"one\n"
    with path.open("r+b") as file:
        file.truncate(4)
    followed.read()
    with path.open("ab") as file:
        file.write(b"two\n")
    assert followed.read() == b"two\n"
    followed.close()


def test_what_came_is_shown_when_it_ends(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    first, second = io.BytesIO(), io.BytesIO()
    with shown({one: first, two: second}):
        LineFile(one).append(b"a\n")
        LineFile(two).append(b"b\n")
    assert (first.getvalue(), second.getvalue()) == (b"a\n", b"b\n")
    # Whoever shows the terminal next goes on.
    with shown({one: second}):
        LineFile(one).append(b"c\n")
    assert second.getvalue() == b"b\nc\n"


def test_a_terminal_that_is_gone_ends_nothing(tmp_path: Path) -> None:
    closed = io.BytesIO()
    closed.close()
    with shown({tmp_path / "log": closed}):
        LineFile(tmp_path / "log").append(b"a\n")
