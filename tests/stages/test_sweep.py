"""What the sweep's stage leaves in its folder."""

from __future__ import annotations

import json
from pathlib import Path

from rayml.search.charts.timeline import timing_rows
from rayml.stages.sweep import _add_timings


def test_the_seconds_before_a_sweep_are_kept_for_its_page(tmp_path: Path) -> None:
    (tmp_path / "timings.json").write_text('{"first_epoch": 2.0, "train": 5.0}')
    _add_timings(tmp_path, {"start Ray": 3.5, "prepare": 1.25, "sweep": 9.0, "other": 0.5})
    found = json.loads((tmp_path / "timings.json").read_text())
    assert found == {"start": 3.5, "data": 1.25, "first_epoch": 2.0, "train": 5.0}
    assert [row[0] for row in timing_rows(found)][:2] == ["start-up", "data"]


def test_a_sweep_that_goes_on_has_prepared_nothing(tmp_path: Path) -> None:
    (tmp_path / "timings.json").write_text("{}")
    _add_timings(tmp_path, {"start Ray": 3.5, "sweep": 9.0})
    assert json.loads((tmp_path / "timings.json").read_text()) == {"start": 3.5}
