"""The README's commands work, in its order, and its example project is the one they run."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.command import Rayml, environment
from tests.processes import descendants, kill

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
SECTIONS = {
    title: [
        shlex.split(line.removeprefix("$ "), posix=True)
        for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
        if line.startswith("$ ")
    ]
    for title, text in re.findall(
        r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE
    )
}
# What they show has faster tests of its own, such as test_extension.py and test_families.py.
LONG = {
    *("Going on with a sweep", "Other searches", "Seeing a sweep", "Trees and linear models"),
    "Your own model",
}
FILES = {
    match[1]: match[2]
    for match in re.finditer(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", README, re.DOTALL)
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the README writes or takes for granted."""
    folder = tmp_path_factory.mktemp("project")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    orders = [
        f"{i % 7}.5,{'web' if i % 3 else 'shop'},{'yes' if i % 7 > 3 else 'no'}" for i in range(400)
    ]
    (folder / "orders.csv").write_text("\n".join(["price,channel,returned", *orders]) + "\n")
    (folder / "rows.json").write_text(json.dumps([{"alcohol": 13.2}, {"proline": 1050, "hue": 1}]))
    return folder


def test_the_readme_shows_commands_and_files() -> None:
    assert sum(map(len, SECTIONS.values())) >= 8
    assert set(SECTIONS) >= LONG
    assert set(FILES) == {
        "shop/nets.py",
        "conf/model/linear.yaml",
        "conf/space/linear.yaml",
    }


@pytest.mark.timeout(600)  # some of a dozen commands, each with a Ray of its own
@pytest.mark.parametrize(
    "section",
    [
        pytest.param(title, marks=pytest.mark.slow if title in LONG else ())
        for title, commands in SECTIONS.items()
        if commands
    ],
)
def test_the_commands_of_the_readme_run(section: str, project: Path, rayml: Rayml) -> None:
    for command in SECTIONS[section]:
        if command[0] == "curl":
            _answers(project, command)
        else:
            assert command[0] == "rayml"
            on_a_free_port = ["serve=one"] if command[1] == "run" else []
            rayml(project, *command[1:], *on_a_free_port)


def _answers(project: Path, curl: list[str]) -> None:
    """Run a `curl` of the README against the endpoint that it is about."""
    with subprocess.Popen(
        [sys.executable, "-m", "rayml", "serve", "data=wine", "serve=one"],
        cwd=project,
        env=environment(project),
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            answers = next(line for line in server.stdout if "answers at" in line)
            port = urlsplit(answers.split()[-1]).port
            done = subprocess.run(
                [word.replace(":8000/", f":{port}/") for word in curl],
                capture_output=True,
                text=True,
                timeout=30,
                check=True,
            )
            answer = json.loads(done.stdout)
            (label,) = (
                answer["outputs"][0]["data"]
                if "outputs" in answer
                else [each["label"] for each in answer["predictions"]]
            )
            assert label in {"class_0", "class_1", "class_2"}
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=60) == 0
        finally:
            kill([*descendants(server.pid), server.pid])
