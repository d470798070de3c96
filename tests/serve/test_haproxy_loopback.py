"""What HAProxy is started with opens the endpoint's own ports, and nothing else to anybody."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

WRAPPER = Path(__file__).parents[2] / "rayml/serve/haproxy-loopback"
# The parts of Serve's template that open something.
CONFIG = """\
global
    stats socket {folder}/admin.sock mode 666 level admin expose-fd listeners
defaults
    mode http
frontend prometheus
    bind :9101
frontend http_frontend
    bind {http}:8000
    use_backend b
backend b
    server s 127.0.0.1:30000 check
frontend grpc_frontend
    bind {http}:9000 proto h2
listen stats
  bind *:8404
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "haproxy" / "node"
    made.mkdir(parents=True)
    return made


def start(folder: Path, text: str, host: str) -> subprocess.CompletedProcess[str]:
    config = folder / "haproxy.cfg"
    config.write_text(text)
    # What would be started shows what it was given.
    variables = {"RAYML_HOST": host, "RAYML_PYTHON": "/bin/echo", "RAYML_HAPROXY": "haproxy"}
    return subprocess.run(
        [WRAPPER, "-db", "-f", config],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("serve", ["127.0.0.1", "*", "0.0.0.0"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "192.0.2.7", "[::]", "[2001:db8::1]"])
def test_only_its_own_ports_are_bound_to_its_host(folder: Path, serve: str, host: str) -> None:
    done = start(folder, CONFIG.format(folder=folder, http=serve), host)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [
        *("-m", "rayml.serve.haproxy_keeper", "haproxy"),
        *("-db", "-f", str(folder / "haproxy.cfg")),
    ]
    text = (folder / "haproxy.cfg").read_text()
    assert re.findall(r"^ *bind (\S+)", text, re.MULTILINE) == [
        "127.0.0.1:9101",
        f"{host}:8000",
        f"{host}:9000",
        "127.0.0.1:8404",
    ]
    assert "mode 600 level admin" in text
    for each in (folder, folder.parent):
        assert each.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "line",
    [
        "frontend more\n    bind 0.0.0.0:7000",
        "listen more\n  bind 192.0.2.1:7000",
        "global\n    stats socket /tmp/other.sock mode 660 level admin",
        "global\n    stats socket ipv4@0.0.0.0:9999 level admin",
    ],
)
def test_a_template_that_opens_more_is_refused(folder: Path, line: str) -> None:
    done = start(folder, CONFIG.format(folder=folder, http="*") + line + "\n", "127.0.0.1")
    assert done.returncode == 1
    assert "opens more" in done.stderr


def test_a_folder_of_everybody_is_refused(folder: Path) -> None:
    folder.parent.chmod(0o1777)
    done = start(folder, CONFIG.format(folder=folder, http="*"), "127.0.0.1")
    assert done.returncode == 1
    assert "shared with others" in done.stderr


def test_a_client_sets_neither_its_address_nor_serves_limits(folder: Path) -> None:
    start(folder, CONFIG.format(folder=folder, http="*"), "127.0.0.1")
    text = (folder / "haproxy.cfg").read_text()
    (own,) = re.findall(r"^frontend http_frontend\n(?: .*\n)*", text, re.MULTILINE)
    for rule in (
        "http-request set-header x-forwarded-for %[src]",
        "http-request del-header x-request-timeout-seconds",
        "http-after-response set-header x-content-type-options nosniff",
    ):
        assert rule in own
