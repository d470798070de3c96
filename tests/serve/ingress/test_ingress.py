"""What Serve's controller is told of HAProxy."""

from __future__ import annotations

import sys

import pytest

from rayml.serve.ingress.ingress import environment
from rayml.serve.ingress.ports import Ports
from rayml.settings.serve import HaproxySettings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="HAProxy comes with Ray on Linux")
THREADS, METRICS, LOG = (
    f"RAY_SERVE_HAPROXY_{name}" for name in ("NBTHREAD", "METRICS_ENABLED", "LOG_TARGET")
)


def told(haproxy: HaproxySettings | None = None) -> dict[str, str]:
    ports = Ports()
    try:
        return environment("haproxy", host="127.0.0.1", arrival_s=5, ports=ports, haproxy=haproxy)
    finally:
        ports.release()


@pytest.mark.parametrize(("cores", "threads"), [(None, "1"), (2, "1"), (8, "2"), (64, "16")])
def test_haproxy_takes_a_quarter_of_the_cores(
    cores: int | None, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert told()[THREADS] == threads


def test_it_writes_no_line_a_request_unless_it_is_asked_to() -> None:
    assert told()[METRICS] == "0"
    assert LOG not in told()
    asked = told(HaproxySettings(threads=3, metrics=True, log="127.0.0.1:514"))
    assert (asked[THREADS], asked[METRICS], asked[LOG]) == ("3", "1", "127.0.0.1:514")


def test_a_log_is_an_address_and_no_directive() -> None:
    with pytest.raises(ValueError, match="log"):
        HaproxySettings(log="127.0.0.1:514\n    stats enable")
