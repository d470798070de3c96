"""What Serve's proxy says of calls that it could not have answered; no Ray runs."""

from __future__ import annotations

import subprocess
import sys

import grpc
import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError
from ray.serve._private import proxy
from ray.serve.exceptions import BackPressureError

from rayml.serve.rayserve.grpc.proxy_errors import mend_proxy


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ActorDiedError(), "UNAVAILABLE", "send it again"),
        (ActorUnavailableError("it is busy", None), "UNAVAILABLE", "send it again"),
        (BackPressureError(num_queued_requests=3, max_queued_requests=3), "UNAVAILABLE", "wait"),
        (TimeoutError(), "DEADLINE_EXCEEDED", "timed out"),
        (ValueError("no"), "INTERNAL", "no"),
    ],
)
def test_what_may_be_sent_again_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: str, message: str
) -> None:
    name = "get_grpc_response_status"
    monkeypatch.setattr(proxy, name, getattr(proxy, name))
    mend_proxy()
    status = getattr(proxy, name)(error, 5.0, "id")
    assert isinstance(status.code, grpc.StatusCode)
    assert (status.code.name, status.is_error) == (code, True)
    assert message in status.message


def test_a_process_that_is_no_proxy_stays_as_it_is() -> None:
    code = (
        "import sys; from rayml.serve.rayserve.grpc.proxy_errors import mend_proxy; mend_proxy();"
        "print(sorted({'ray', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"
