"""What HAProxy is run with opens the endpoint's own ports, and nothing else to anybody."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rayml.errors import ServeError
from rayml.serve.ingress.haproxy_config import adapt, addresses, admin_socket, replicas

KEEPER = Path(__file__).parents[3] / "rayml/serve/ingress/haproxy-keeper"
# The parts of Serve's template that open something.
CONFIG = """\
global
    stats socket {folder}/admin.sock mode 666 level admin expose-fd listeners
defaults
    mode http
    timeout connect 5s
    errorfile 502 {folder}/500.http
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
OWN = Path("/run/own.sock")


def adapted(text: str, host: str = "127.0.0.1") -> str:
    names = addresses(text, host)
    return adapt(
        text,
        host=host,
        binds={name: f"fd@{number}" for number, name in enumerate(names, 7)},
        admin=OWN,
        errors=Path("/run/errors"),
        arrival_s=5,
    )


@pytest.mark.parametrize("serve", ["127.0.0.1", "*", "0.0.0.0", ""])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "192.0.2.7", "[::]", "[2001:db8::1]"])
def test_only_its_own_ports_are_bound_to_its_host(serve: str, host: str) -> None:
    text = CONFIG.format(folder="/run", http=serve)
    assert addresses(text, host) == [f"{host}:8000", f"{host}:9000"]
    changed = adapted(text, host)
    assert re.findall(r"^ *bind (\S+)", changed, re.MULTILINE) == [
        "127.0.0.1:9101",
        "fd@7",
        "fd@8",
        "127.0.0.1:8404",
    ]
    assert admin_socket(text) == Path("/run/admin.sock")
    assert f"stats socket {OWN} mode 600 level admin expose-fd listeners\n" in changed


@pytest.mark.parametrize(
    "line",
    [
        "frontend more\n    bind 0.0.0.0:7000",
        "listen more\n  bind 192.0.2.1:7000",
        "listen more\n  bind /run/other.sock",
        "global\n    stats socket /run/other.sock mode 660 level admin",
        "global\n    stats socket ipv4@0.0.0.0:9999 level admin",
    ],
)
def test_a_template_that_opens_more_is_refused(line: str) -> None:
    text = CONFIG.format(folder="/run", http="*") + line + "\n"
    with pytest.raises(ServeError, match="opens another port"):
        adapted(text)


def test_a_client_sets_neither_its_address_nor_serves_limits() -> None:
    text = adapted(CONFIG.format(folder="/run", http="*"))
    (own,) = re.findall(r"^frontend http_frontend\n(?: .*\n)*", text, re.MULTILINE)
    for rule in (
        "http-request set-header x-forwarded-for %[src]",
        "http-request del-header x-request-timeout-seconds",
        "http-after-response set-header x-content-type-options nosniff",
    ):
        assert rule in own


def test_no_error_is_serves_own() -> None:
    text = adapted(CONFIG.format(folder="/run", http="*"))
    files = re.findall(r"^ *errorfile (\d+) (\S+)", text, re.MULTILINE)
    assert {Path(path).parent for _, path in files} == {Path("/run/errors")}
    assert all(Path(path).stem == status for status, path in files)
    assert {"400", "408", "502", "503", "504"} <= {status for status, _ in files}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "haproxy" / "node"
    made.mkdir(parents=True)
    return made


def start(folder: Path, python: Path, text: str) -> subprocess.CompletedProcess[str]:
    config = folder / "haproxy.cfg"
    config.write_text(text)
    # It ends at once, as a HAProxy does that is told nothing it understands.
    variables = {
        "RAYML_HOST": "127.0.0.1",
        "RAYML_ARRIVAL_S": "5",
        "RAYML_PYTHON": str(python),
        "RAYML_HAPROXY": "/bin/false",
    }
    return subprocess.run(
        [KEEPER, "-db", "-f", config],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_serve_starts_the_keeper_in_place_of_haproxy(folder: Path) -> None:
    done = start(folder, Path("/bin/echo"), "")
    assert done.stdout.split() == [
        *("-m", "rayml.serve.ingress.haproxy_keeper", "/bin/false"),
        *("-db", "-f", str(folder / "haproxy.cfg")),
    ]


@pytest.mark.parametrize("shared", [False, True])
def test_files_are_in_folders_of_their_owner(folder: Path, shared: bool) -> None:
    folder.parent.chmod(0o1777 if shared else 0o755)
    done = start(folder, Path(sys.executable), CONFIG.format(folder=folder, http="127.0.0.1"))
    assert done.returncode == 1
    assert ("other users may write" in done.stderr) == shared
    if not shared:
        for each in (folder, folder.parent):
            assert each.stat().st_mode & 0o777 == 0o700


def test_a_configuration_that_opens_more_is_not_run(folder: Path) -> None:
    text = CONFIG.format(folder=folder, http="127.0.0.1") + "listen x\n  bind 0.0.0.0:7000\n"
    done = start(folder, Path(sys.executable), text)
    assert done.returncode == 1
    assert "rayml: Ray's configuration of HAProxy opens another port" in done.stderr


def test_replicas_are_told_from_the_proxy_that_stands_in_for_them() -> None:
    text = CONFIG.format(folder="/run", http="127.0.0.1")
    fallback = "    server SERVE_PROXY_ACTOR-fallback-1 127.0.0.1:8000 check backup\n"
    assert replicas(text + fallback) == 0
    text += "backend http-a\n    server SERVE_REPLICA_a-1 127.0.0.1:30000 check\n"
    text += "    server SERVE_REPLICA_a-2 127.0.0.1:30001 check\n" + fallback
    text += "backend grpc-a\n    server SERVE_REPLICA_a-1 127.0.0.1:40000 proto h2 check\n"
    text += "    server SERVE_REPLICA_a-2 127.0.0.1:40001 proto h2 check\n"
    assert replicas(text) == 2


@pytest.mark.parametrize("logs", [True, False])
def test_a_line_a_request_is_written_where_it_is_asked_for(logs: bool) -> None:
    line = "    log 127.0.0.1:514 local0 info\n"
    text = CONFIG.format(folder="/run", http="127.0.0.1").replace("global\n", f"global\n{line}")
    changed = adapt(
        text,
        host="127.0.0.1",
        binds=dict.fromkeys(addresses(text, "127.0.0.1"), "fd@7"),
        admin=OWN,
        errors=Path("/run/errors"),
        arrival_s=5,
        logs=logs,
    )
    assert (line in changed) is logs
