"""What an earlier rayml stored is read: prepared data, sweeps, bundles, a registry.

`tests/stored` was written before the modules of rayml moved into packages. Its files are never
written again: each new form of what is stored gets an example of its own.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rayml.registry.bundle.bundle import load_bundle
from rayml.registry.store import Registry
from rayml.search.journal.journal import read_study
from tests.e2e.command import Rayml

STORED = Path(__file__).resolve().parents[1] / "stored"
MODEL = "breast_cancer"  # the earlier rayml registered the sweeps under the default name
PREPARED = "72ea04e51a27709b"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder that holds what was stored."""
    home = tmp_path_factory.mktemp("home")
    for part in ("prepared", "registry", "sweeps"):
        shutil.copytree(STORED / part, home / "runs" / part)
    for named in (home / "runs" / "sweeps").glob("*/data.json"):
        data = json.loads(named.read_text())
        data["path"] = str(home / data["path"])
        named.write_text(json.dumps(data))
    return home


@pytest.mark.parametrize("version", [1, 2])
def test_a_stored_bundle_predicts_what_it_predicted(home: Path, rayml: Rayml, version: int) -> None:
    assert load_bundle(Registry(home / "runs" / "registry").resolve(MODEL, str(version)))
    done = rayml(home, "predict", str(STORED / "rows.csv"), f"serve.version={version}")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    before = (STORED / f"predictions-{version}.jsonl").read_text().splitlines()
    for answer, line in zip(told, before, strict=True):
        was = json.loads(line)
        assert answer.pop("probabilities") == pytest.approx(was.pop("probabilities"), abs=1e-6)
        assert answer.pop("probability") == pytest.approx(was.pop("probability"), abs=1e-6)
        assert answer == was


def test_a_stored_sweep_has_its_report_and_its_winner(home: Path, rayml: Rayml) -> None:
    done = rayml(home, "report", "stored-mlp")
    assert "stored-mlp" in done.stdout
    done = rayml(home, "register", "stored-mlp", "registry.promote=always")
    assert "wine version 1 on test" in done.stdout  # the name of the sweep's own config


def test_a_stored_sweep_goes_on_with_the_data_that_were_prepared_for_it(
    home: Path, rayml: Rayml
) -> None:
    done = rayml(home, "sweep", "extend=stored-mlp", "search.trials=+1")
    assert f"reused {home / 'runs' / 'prepared' / PREPARED}" in done.stdout
    assert len(read_study(home / "runs" / "sweeps" / "stored-mlp" / "journal.log").trials) == 4


def test_data_that_were_prepared_are_not_prepared_again(home: Path, rayml: Rayml) -> None:
    done = rayml(home, "prepare", "data=wine")
    assert f"reused {home / 'runs' / 'prepared' / PREPARED}" in done.stdout
