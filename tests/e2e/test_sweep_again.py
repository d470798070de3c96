"""What a sweep's name, journal and data go through: taken, torn, removed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rayml.search.journal.journal import read_study
from tests.e2e.command import Rayml

SMALL = ("data=wine", "train.epochs=1", "confirm=none", "search.cohort.lanes=2")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, rayml: Rayml) -> Path:
    """A user's folder with the sweep `first` of two trials."""
    home = tmp_path_factory.mktemp("home")
    rayml(home, "sweep", *SMALL, "search.name=first", "search.trials=2")
    return home


def test_a_name_is_refused_before_anything_starts(home: Path, rayml: Rayml) -> None:
    done = rayml(home, "sweep", *SMALL, "search.name=first", code=2)
    assert "search.name: there is a sweep named first" in done.stderr
    assert "`rayml sweep resume=first`" in done.stderr
    assert done.stdout == ""
    done = rayml(home, "sweep", *SMALL, "search.name=my shop", code=2)
    assert "use letters, digits, '.', '_' and '-', begin with a letter" in done.stderr


def test_a_warm_start_of_another_metric_is_refused_before_anything_starts(
    home: Path, rayml: Rayml
) -> None:
    changes = ("search.warm_start=[first]", "task.metric=auroc")
    done = rayml(home, "sweep", *SMALL, *changes, code=2)
    assert "sweep first optimised accuracy (maximize)" in done.stderr
    assert "this one optimises auroc" in done.stderr
    assert done.stdout == ""


def test_a_sweep_is_extended_without_its_data_and_with_a_torn_journal(
    home: Path, rayml: Rayml
) -> None:
    folder = home / "runs" / "sweeps" / "first"
    journal = folder / "journal.log"
    shutil.rmtree(home / "runs" / "prepared")
    lines = journal.read_bytes().splitlines(keepends=True)
    created = [i for i, line in enumerate(lines) if json.loads(line)["op_code"] == 4]
    lines[created[1]] = lines[created[1]][:30]
    journal.write_bytes(b"".join(lines))
    done = rayml(home, "sweep", "extend=first", "search.trials=+1")
    assert f"the journal of first was damaged: line {created[1] + 1} " in done.stdout
    assert "counted as failed: trial 1" in done.stdout
    assert "the prepared data of first are gone from" in done.stdout
    assert [trial.state.name for trial in read_study(journal).trials] == [
        *("COMPLETE", "FAIL", "COMPLETE")
    ]
