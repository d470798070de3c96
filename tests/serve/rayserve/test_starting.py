"""Serve is started again where Serve failed, and only there."""

from __future__ import annotations

import pytest

from rayml.cluster import slowness as module
from rayml.errors import ServeError
from rayml.serve.rayserve.starting import start_timeouts, start_with_retries


def failing(*errors: Exception) -> tuple[list[Exception], object]:
    left = list(errors)

    def start() -> str:
        if left:
            raise left.pop(0)
        return "started"

    return left, start


def test_a_start_that_serve_failed_is_tried_again() -> None:
    from ray.exceptions import ActorDiedError
    from ray.serve.exceptions import RayServeException

    for errors in (
        [ActorDiedError(), TimeoutError("HTTP proxies not available after 60s.")],
        [RayServeException("x"), RuntimeError("HAProxy crashed during startup")],
    ):
        left, start = failing(*errors)
        assert start_with_retries(start) == "started"  # type: ignore[arg-type]
        assert not left


def test_in_the_end_it_is_one_line() -> None:
    said = "Traceback\n  File x\nRuntimeError: HAProxy crashed: cannot bind socket"
    _, start = failing(*[RuntimeError(said)] * 3)
    with pytest.raises(ServeError) as caught:
        start_with_retries(start)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert "HAProxy crashed: cannot bind socket" in str(caught.value)
    assert "did not start in 3 attempts" in str(caught.value)


def test_what_is_the_users_is_not_tried_again() -> None:
    left, start = failing(ServeError("port 8000 is already in use"), ServeError("again"))
    with pytest.raises(ServeError, match="port 8000"):
        start_with_retries(start)  # type: ignore[arg-type]
    assert len(left) == 1


def test_patience_grows_with_what_the_machine_has_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(load: float, start: float) -> float:
        monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0))
        monkeypatch.setattr("os.cpu_count", lambda: 2)
        monkeypatch.setattr(module, "_measured", [start])
        return float(start_timeouts()["RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S"])

    rest = told(0.5, 0.8)
    assert rest == 30
    assert told(12.0, 1.0) == 6 * rest
    assert told(0.5, 3.0) == 3 * rest
    assert told(1000.0, 1.0) == 10 * rest
