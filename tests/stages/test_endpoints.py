"""Endpoints of this machine are listed, and the one that is meant is ended."""

from __future__ import annotations

import pytest

from rayml.errors import ConfigError, ServeError
from rayml.serve.supervise.supervisors import Running
from rayml.stages import endpoints

ONE = Running(11, ("serve", "data=wine"), driver=12, url="http://127.0.0.1:8000", version="3")
OTHER = Running(21, ("serve",), driver=22, url="http://[::1]:8001", version="1")
STARTS = Running(31, ("serve", "a b"))


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    pids: list[int] = []

    def end(one: Running, _seconds: float) -> bool:
        pids.append(one.pid)
        return one is not OTHER

    monkeypatch.setattr(Running, "end", end)
    return pids


def runs(monkeypatch: pytest.MonkeyPatch, *found: Running) -> None:
    monkeypatch.setattr(endpoints, "running", lambda: list(found))


def test_each_endpoint_is_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs(monkeypatch, ONE, STARTS)
    endpoints.show_endpoints()
    assert capsys.readouterr().out.splitlines() == [
        "http://127.0.0.1:8000 version 3: `rayml serve data=wine` (supervisor 11, driver 12)",
        "`rayml serve 'a b'` starts (process 31)",
    ]
    runs(monkeypatch)
    endpoints.show_endpoints()
    assert "no endpoint" in capsys.readouterr().out


def test_the_only_one_or_the_one_at_the_port_is_ended(
    monkeypatch: pytest.MonkeyPatch, ended: list[int]
) -> None:
    runs(monkeypatch, ONE)
    endpoints.end_endpoint(None)
    runs(monkeypatch, OTHER, ONE)
    endpoints.end_endpoint("8000")
    assert ended == [11, 11]


def test_who_names_none_of_several_or_nothing_that_runs_is_told(
    monkeypatch: pytest.MonkeyPatch, ended: list[int]
) -> None:
    runs(monkeypatch, ONE, OTHER, STARTS)
    with pytest.raises(ConfigError, match="8000, 8001, starting"):
        endpoints.end_endpoint(None)
    with pytest.raises(ConfigError, match="at port 80"):
        endpoints.end_endpoint("80")
    assert ended == []
    with pytest.raises(ServeError, match="process 21 has not ended"):
        endpoints.end_endpoint("8001")
