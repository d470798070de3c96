"""A journal whose writer died is mended or refused; two writers are kept apart."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.storages import JournalStorage

from rayml.errors import SearchError
from rayml.search.journal.journal import SweepJournal, read_study
from rayml.search.journal.repair import TORN, parse, require_no_writer


def written(path: Path) -> bytes:
    """A journal of two trials, as it lies on the disk."""
    journal = SweepJournal(path)
    study = optuna.create_study(storage=JournalStorage(journal), study_name="s")
    for value in (0.25, 0.75):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        study.tell(trial, value)
    journal.close()
    return path.read_bytes()


def test_a_torn_last_line_is_cut_off_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    whole = written(path)
    path.write_bytes(whole + b'{"op_code":')
    assert len(read_study(path).trials) == 2
    journal = SweepJournal(path, existing=True)
    assert journal.torn == b'{"op_code":'
    assert path.read_bytes() == whole
    assert path.with_name(path.name + TORN).read_bytes() == b'{"op_code":\n'
    study = optuna.load_study(study_name="s", storage=JournalStorage(journal))
    study.ask()
    journal.close()
    assert len(read_study(path).trials) == 3


@given(cut=st.integers(min_value=1))
def test_wherever_a_journal_is_torn_the_whole_lines_stay(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("torn") / "journal.log"
    whole = written(path)
    kept = whole[: cut % len(whole)]
    path.write_bytes(kept)
    journal = SweepJournal(path, existing=True)
    journal.close()
    assert path.read_bytes() == kept[: kept.rfind(b"\n") + 1]
    assert path.read_bytes() + journal.torn == kept


@pytest.mark.parametrize("tail", [b"\0" * 40, b"\0" * 40 + b"\n", b"a\rb", b"[1]\n", b"{}\n"])
def test_what_a_power_cut_leaves_at_the_end_is_cut_off(tail: bytes, tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    whole = written(path)
    path.write_bytes(whole + tail)
    journal = SweepJournal(path, existing=True)
    journal.close()
    assert (path.read_bytes(), journal.torn) == (whole, tail)


def test_a_damaged_line_before_the_last_is_refused_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    lines = written(path).splitlines(keepends=True)
    lines[2] = b'{"op_code":4,"wor\n'
    path.write_bytes(b"".join(lines))
    before = path.read_bytes()
    for reading in (read_study, lambda p: SweepJournal(p, existing=True)):
        with pytest.raises(SearchError, match="line 3 of the journal is damaged"):
            reading(path)  # type: ignore[operator]
    assert path.read_bytes() == before


def test_an_empty_journal_is_whole(tmp_path: Path) -> None:
    assert parse(b"", tmp_path) == ([], b"")


HOLDER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from rayml.search.journal.journal import SweepJournal
journal = SweepJournal(Path(sys.argv[1]), existing=True)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_journal_has_one_writer_until_it_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rayml.search.journal.repair._PATIENCE", 0.0)
    path = tmp_path / "journal.log"
    written(path)
    require_no_writer(path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(SearchError, match="another process writes"):
            require_no_writer(path)
        with pytest.raises(SearchError, match="another process writes"):
            SweepJournal(path, existing=True)
        holder.kill()
        holder.wait()
    require_no_writer(path)
    SweepJournal(path, existing=True).close()


def test_a_writer_that_is_about_to_end_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    written(path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(require_no_writer, path)
            with pytest.raises(FutureTimeoutError):
                waiting.result(timeout=0.3)
            holder.kill()
            waiting.result(timeout=10)
