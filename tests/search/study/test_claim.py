"""One process at a time has the name of a sweep."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rayml.errors import SearchError
from rayml.search.study.claim import claimed, require_free

HOLDER = """
import sys
from pathlib import Path
from rayml.search.study.claim import claimed
with claimed(Path(sys.argv[1]), resume=False):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_of_two_hears_that_the_name_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        runs = rf"^sweep shop is running \(process {holder.pid} of"
        for resume in (False, True):
            with pytest.raises(SearchError, match=runs), claimed(folder, resume=resume):
                pass
        holder.kill()
        holder.wait()
    # The claim ends with its process.
    with claimed(folder, resume=False):
        pass


def test_a_name_that_a_sweep_had_is_taken_for_a_new_one(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    require_free(folder, resume=False)
    (folder / "journal.log").touch()
    with pytest.raises(SearchError, match=r"^there is a sweep named shop in .*resume=shop"):
        require_free(folder, resume=False)
    with claimed(folder, resume=True):
        pass
