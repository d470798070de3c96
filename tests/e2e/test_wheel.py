"""An installed wheel works by itself: its config travels inside."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

ROOT = Path(__file__).resolve().parents[2]


def _run(*command: object, folder: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `rayml` of an environment that holds the wheel, and this one's dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    _run(
        *(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT),
        folder=folder,
    )
    (wheel,) = folder.glob("rayml-*.whl")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    site = Path(
        _run(
            python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=folder
        ).strip()
    )
    # A path in a .pth file is searched last, and the .pth files in it, such as that of an
    # editable rayml, are not read.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    _run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"),
        wheel,
        folder=folder,
    )
    return folder / "venv" / "bin" / "rayml"


def test_help_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    assert "prepare" in _run(installed, "--help", folder=tmp_path)
    where = "import rayml, pathlib; print(pathlib.Path(rayml.__file__).parent / 'conf')"
    conf = Path(_run(installed.with_name("python"), "-c", where, folder=tmp_path).strip())
    assert installed.parents[1] in conf.parents
    assert (conf / "config.yaml").is_file()


def test_haproxy_can_be_started(installed: Path, tmp_path: Path) -> None:
    where = "import rayml, pathlib; print(pathlib.Path(rayml.__file__).parent)"
    package = Path(_run(installed.with_name("python"), "-c", where, folder=tmp_path).strip())
    assert installed.parents[1] in package.parents
    assert os.access(package / "serve" / "ingress" / "haproxy-keeper", os.X_OK)


def test_the_page_of_a_report_is_made_from_files_of_the_wheel(
    installed: Path, tmp_path: Path
) -> None:
    sweep = tmp_path / "sweeps" / "s"
    sweep.mkdir(parents=True)
    (sweep / "config.yaml").write_text("name: s\n")
    storage = JournalStorage(JournalFileBackend(str(sweep / "journal.log")))
    study = optuna.create_study(study_name="s", storage=storage)
    study.set_user_attr("metric", "loss")
    study.tell(study.ask({"x": FloatDistribution(0, 1)}), 0.5)
    out = _run(installed, "report", "s", f"paths.sweeps={sweep.parent}", folder=tmp_path)
    page = sweep / "report" / "index.html"
    assert f"wrote {page}" in out
    assert 'id="figure-history-0"' in page.read_text(encoding="utf-8")


def test_check_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    assert "the config is sound" in _run(installed, "check", folder=tmp_path)
