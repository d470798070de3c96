"""The report shows families of models side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rayml.search.report.families import families_section
from rayml.search.results.record import read_record
from rayml.search.study.study import Study
from tests.search.plans import report, tell

TREE = {
    "model": {
        "family": {"type": "categorical", "choices": ["net", "trees"]},
        "width": {"type": "int", "low": 1, "high": 50},
    }
}


def test_each_family_has_a_row(make_study: Callable[..., Study], tmp_path: Path) -> None:
    study = make_study(tree=TREE)
    for number, (family, value) in enumerate([("net", 0.6), ("trees", 0.9), ("net", 0.7)]):
        study.ask(fixed={"model.family": family, "model.width": 3 + number})
        report(study, number, 1, value, {"accuracy": value})
        tell(study, number, "COMPLETE", value)
    found = families_section(read_record(tmp_path))
    assert found is not None
    (table,) = found.tables
    rows = {row[0]: row[1:5] for row in table.rows}
    assert rows == {"trees": ["1", "1", "0.9", "1"], "net": ["2", "2", "0.7", "2"]}
    assert next(iter(rows)) == "trees"  # the best one first


def test_one_family_needs_no_table(make_study: Callable[..., Study], tmp_path: Path) -> None:
    make_study().ask()
    assert families_section(read_record(tmp_path)) is None
