"""The whole flow on a bundled data set: a sweep, a version, an endpoint, and each verb after."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.e2e.command import Rayml, environment
from tests.processes import descendants, kill

TRIALS = 4
SMALL = (
    *(f"search.trials={TRIALS}", "train.epochs=3", "serve=one", "space.model.width.choices=[16]"),
    # Enough steps of enough length to beat a constant answer.
    *("space.train.batch_size.choices=[16]", "space.train.optimizer.lr.low=0.005"),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def run(home: Path, rayml: Rayml) -> subprocess.CompletedProcess[str]:
    """`rayml run`, once for all tests of this file."""
    return rayml(home, "run", "search.name=first", *SMALL)


def test_run_ends_with_an_answer(run: subprocess.CompletedProcess[str]) -> None:
    lines = run.stdout.splitlines()
    (answer,) = [line for line in lines if line.startswith("HTTP ")]
    status, _, body = answer.partition(": ")
    assert status == "HTTP 200"
    (prediction,) = json.loads(body)["predictions"]
    assert prediction["label"] in {"benign", "malignant"}
    assert sum(prediction["probabilities"].values()) == pytest.approx(1)


def test_run_shows_progress_leaderboard_and_timings(
    run: subprocess.CompletedProcess[str],
) -> None:
    assert f"[{TRIALS}/{TRIALS}]" in run.stdout
    assert f"best {TRIALS} of {TRIALS} trials" in run.stdout
    assert "where the seconds went" in run.stdout
    assert "version 1 is promoted: " in run.stdout
    assert "Traceback" not in run.stderr


def test_run_leaves_nothing_on_standard_error(run: subprocess.CompletedProcess[str]) -> None:
    assert run.stderr == ""


def test_everything_of_a_sweep_lies_in_its_folder(
    run: subprocess.CompletedProcess[str], home: Path
) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    folder = home / "runs" / "sweeps" / "first"
    trials = pq.read_table(folder / "report" / "trials.parquet")
    curves = pq.read_table(folder / "report" / "curves.parquet")
    assert trials.num_rows == TRIALS
    assert set(curves["number"].to_pylist()) <= set(range(TRIALS))
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    study = optuna.load_study(study_name="first", storage=storage)
    assert len(study.trials) == TRIALS
    assert {trial.state.name for trial in study.trials} <= {"COMPLETE", "PRUNED"}


def test_the_winner_is_confirmed_and_it_is_what_is_served(
    run: subprocess.CompletedProcess[str], home: Path
) -> None:
    assert " over 5 seeds" in run.stdout
    confirmed = json.loads((home / "runs/sweeps/first/confirm.json").read_text())
    assert len(confirmed["seeds"]) == 5
    assert all(len(each["values"]) == 5 for each in confirmed["candidates"])
    version = home / "runs/registry/breast_cancer/versions/1"
    info = json.loads((version / "bundle.json").read_text())
    assert info["metrics"]["test"] == confirmed["test"]
    assert info["confirmed"]["seeds"] == 5
    lineage = json.loads((version / "lineage.json").read_text())
    assert (lineage["trial"], lineage["seed"]) == (confirmed["winner"], confirmed["seed"])


def test_the_prepared_data_is_used_again(
    run: subprocess.CompletedProcess[str], home: Path, rayml: Rayml
) -> None:
    assert "prepared " in run.stdout
    assert "reused " in rayml(home, "prepare").stdout


def test_report_prints_the_leaderboard_of_the_latest_sweep(
    run: subprocess.CompletedProcess[str], home: Path, rayml: Rayml
) -> None:
    done = rayml(home, "report")
    assert f"of {TRIALS} trials" in done.stdout
    assert done.stderr == ""
    page = home / "runs" / "sweeps" / "first" / "report" / "index.html"
    assert done.stdout.splitlines()[-1] == f"wrote {page}"
    assert "<title>first" in page.read_text(encoding="utf-8")
    refused = rayml(home, "report", "absent", code=2)
    assert "first" in refused.stderr


def test_a_sweep_is_registered_and_promoted_by_hand(
    run: subprocess.CompletedProcess[str], home: Path, rayml: Rayml
) -> None:
    again = rayml(home, "register", "first", "registry.promote=never")
    assert "breast_cancer version 2" in again.stdout
    assert "champion is version 2, was 1" in rayml(home, "promote", "2").stdout
    assert "champion is version 1, was 2" in rayml(home, "promote", "1").stdout


def test_a_useless_version_does_not_replace_the_champion(
    run: subprocess.CompletedProcess[str], home: Path, rayml: Rayml
) -> None:
    poor = ("search.trials=1", "train.epochs=1", "train.optimizer.lr=1e-9", "space=none")
    done = rayml(home, "run", "search.name=poor", *poor, "confirm=none", "serve=one")
    assert "is not promoted, version 1 stays champion: it does not beat a constant" in done.stdout
    assert "serving the champion, version 1" in done.stdout
    assert "breast_cancer version 1 answers at" in done.stdout
    assert "HTTP 200: " in done.stdout
    folder = home / "runs/registry/breast_cancer/versions"
    latest = max(folder.iterdir(), key=lambda path: int(path.name))
    decision = json.loads((latest / "bundle.json").read_text())["decision"]
    assert decision["verdict"] == "no better than a constant"
    assert "Not made champion: it does not beat" in (latest / "MODEL_CARD.md").read_text()
    refused = rayml(home, "promote", latest.name, code=1)
    assert f"rayml promote {latest.name} registry.force=true" in refused.stderr


def test_a_name_is_not_swept_twice(
    run: subprocess.CompletedProcess[str], home: Path, rayml: Rayml
) -> None:
    refused = rayml(home, "sweep", "search.name=first", *SMALL, code=2)
    assert "search.name: there is a sweep named first" in refused.stderr
    assert "Traceback" not in refused.stderr


def rows_of_the_training_data() -> Any:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer(as_frame=True)
    return data.frame.drop(columns="target").head(20)


def test_predict_reads_files(
    run: subprocess.CompletedProcess[str], home: Path, rayml: Rayml
) -> None:
    rows = rows_of_the_training_data()
    rows.to_csv(home / "rows.csv", index=False)
    rows.to_parquet(home / "rows.parquet")
    (home / "rows.json").write_text(rows.to_json(orient="records"))
    answers = [
        [json.loads(line) for line in rayml(home, "predict", f"rows.{kind}").stdout.splitlines()]
        for kind in ("csv", "parquet", "json")
    ]
    assert len(answers[0]) == 20
    for other in answers[1:]:
        assert [each["label"] for each in other] == [each["label"] for each in answers[0]]


@pytest.mark.slow
def test_a_sweep_is_confirmed_again_as_an_ensemble(
    run: subprocess.CompletedProcess[str], home: Path, rayml: Rayml
) -> None:
    folder = home / "runs" / "sweeps" / "first"
    files = list(folder.glob("confirm/*/*/checkpoint.safetensors"))
    before = {file: file.stat().st_mtime_ns for file in files}
    done = rayml(home, "confirm", "first", "confirm.ensemble=2")
    assert {file: file.stat().st_mtime_ns for file in files} == before
    assert "an ensemble of its seeds" in done.stdout
    registered = rayml(home, "register", "first", "registry.promote=never")
    (version,) = {line.split()[2] for line in registered.stdout.splitlines() if " on test" in line}
    rows = [{"mean radius": 14.0}, {"mean radius": 20.0}]
    (home / "two.json").write_text(json.dumps(rows))
    predicted = rayml(home, "predict", "two.json", f"serve.version={version}").stdout
    answers = [json.loads(line) for line in predicted.splitlines()]
    assert all(answer["spread"] > 0 for answer in answers)


def test_serve_answers_until_it_is_asked_to_end(
    run: subprocess.CompletedProcess[str], home: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "rayml", "serve", "serve=one"],
        cwd=home,
        env=environment(home),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if "answers at" in line)
            url = line.split()[-1]
            rows = rows_of_the_training_data().to_dict(orient="records")
            request = urllib.request.Request(url, json.dumps({"rows": rows}).encode())
            with urllib.request.urlopen(request, timeout=30) as response:
                assert response.headers["X-Model-Name"] == "breast_cancer"
                assert len(json.load(response)["predictions"]) == 20
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
        finally:
            kill([*descendants(process.pid), process.pid])
