"""How Serve's servers of gRPC are set up, without Serve."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rayml.serve import proxy_errors
from rayml.serve.grpc_handlers import add_to_server
from rayml.serve.grpc_transport import bind_to_host, grpc_environment, grpc_options
from rayml.serve_settings import ServeSettings

EXTRA = {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "rayml.serve.proxy_errors.middlewares"}


def test_what_proxies_import_imports_no_model() -> None:
    """Serve kills a proxy that takes more than 5 s to start."""
    code = (
        "import sys, rayml.serve.grpc_transport, rayml.serve.grpc_handlers;"
        "print(sorted({'torch', 'pyarrow', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


def test_serve_finds_what_it_is_told_by_name() -> None:
    options = grpc_options(8001, timeout_s=5.0)
    assert options.grpc_servicer_func_callable == [add_to_server]
    assert (options.port, options.request_timeout_s, options.enable_reflection) == (
        8001,
        5.0,
        False,
    )
    name = grpc_environment({}, "127.0.0.1", ServeSettings(), fallback_port=1)[
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
    ]
    from ray._common.utils import import_attr

    assert import_attr(name) is bind_to_host


@pytest.mark.parametrize(("host", "bound"), [("127.0.0.1", "127.0.0.1:9"), ("::1", "[::1]:9")])
def test_servers_of_grpc_listen_on_the_host_of_the_endpoint(
    monkeypatch: pytest.MonkeyPatch, host: str, bound: str
) -> None:
    from ray.serve._private import default_impl

    for name, value in grpc_environment(EXTRA, host, ServeSettings(), fallback_port=1).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(default_impl, "add_grpc_address", default_impl.add_grpc_address)
    monkeypatch.setattr(proxy_errors, "middlewares", lambda: ["of HTTP"])
    assert bind_to_host() == ["of HTTP"]
    addresses: list[str] = []

    class Server:
        def add_insecure_port(self, address: str) -> None:
            addresses.append(address)

    default_impl.add_grpc_address(Server(), "[::]:9")
    assert addresses == [bound]


def test_a_message_may_be_as_large_as_a_body_and_an_answer_larger() -> None:
    for limit, size in ((1000, 16 * 2**20), (2**26, 2**26 + 4096)):
        settings = ServeSettings(max_body_bytes=limit)
        variables = grpc_environment({}, "127.0.0.1", settings, fallback_port=1)
        assert variables["RAY_SERVE_GRPC_MAX_MESSAGE_SIZE"] == str(size)
