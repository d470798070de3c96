"""How Serve's servers of gRPC are set up, without Serve."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from rayml.serve.grpc.handlers import add_to_server
from rayml.serve.rayserve import proxy_errors
from rayml.serve.rayserve.grpc import transport
from rayml.serve.rayserve.grpc.transport import grpc_environment, grpc_options, prepare_servers
from rayml.settings.serve import ServeSettings

EXTRA = {
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "rayml.serve.rayserve.proxy_errors.middlewares"
}


def test_what_proxies_import_imports_no_model() -> None:
    """Serve kills a proxy that takes more than 5 s to start."""
    code = (
        "import sys, rayml.serve.rayserve.grpc.transport, rayml.serve.grpc.handlers;"
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

    assert import_attr(name) is prepare_servers


@pytest.mark.parametrize(("host", "bound"), [("127.0.0.1", "127.0.0.1:9"), ("::1", "[::1]:9")])
def test_servers_of_grpc_listen_on_the_host_of_the_endpoint(
    monkeypatch: pytest.MonkeyPatch, host: str, bound: str
) -> None:
    from ray.serve._private import default_impl, grpc_util

    for name, value in grpc_environment(EXTRA, host, ServeSettings(), fallback_port=1).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(default_impl, "add_grpc_address", default_impl.add_grpc_address)
    monkeypatch.setattr(grpc_util, "gRPCGenericServer", grpc_util.gRPCGenericServer)
    options = grpc_util.DEFAULT_GRPC_SERVER_OPTIONS
    monkeypatch.setattr(grpc_util, "DEFAULT_GRPC_SERVER_OPTIONS", options)
    mended: list[bool] = []
    monkeypatch.setattr(transport, "mend_proxy", lambda: mended.append(True))
    monkeypatch.setattr(proxy_errors, "middlewares", lambda: ["of HTTP"])
    assert prepare_servers() == ["of HTTP"]
    assert mended
    addresses: list[str] = []

    def factory(**_: object) -> None: ...

    monkeypatch.setattr(transport, "add_standard_services", lambda *_: added.append(True))
    added: list[bool] = []

    class Server:
        service_handler_factory = staticmethod(factory)

        def add_insecure_port(self, address: str) -> None:
            addresses.append(address)

    server = Server()
    default_impl.add_grpc_address(server, "[::]:9")
    assert server.service_handler_factory is not factory
    assert addresses == [bound]
    assert added


@pytest.mark.parametrize("limit", [1000, 2**26])
def test_a_message_is_as_large_as_a_body_and_an_answer_larger(
    monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    from ray.serve._private import default_impl, grpc_util

    settings = ServeSettings(max_body_bytes=limit)
    for name, value in grpc_environment({}, "127.0.0.1", settings, fallback_port=1).items():
        monkeypatch.setenv(name, value)
    for module, name in (
        (default_impl, "add_grpc_address"),
        (grpc_util, "DEFAULT_GRPC_SERVER_OPTIONS"),
        (grpc_util, "gRPCGenericServer"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(transport, "mend_proxy", lambda: None)
    prepare_servers()
    options = dict(grpc_util.DEFAULT_GRPC_SERVER_OPTIONS)
    assert options["grpc.max_receive_message_length"] == limit + 4096
    assert options["grpc.max_send_message_length"] == 2**31 - 1


def test_a_replica_shares_its_port_with_nobody() -> None:
    """Serve means so, but says it in a way that gRPC does not understand."""
    from ray.serve._private.grpc_util import gRPCGenericServer

    def factory() -> None: ...

    async def opened(shared: str) -> None:
        servers = [
            transport._unshared(gRPCGenericServer)(
                factory, extra_options=[("grpc.so_reuseport", shared)]
            )
            for _ in range(2)
        ]
        port = servers[0].add_insecure_port("127.0.0.1:0")
        try:
            servers[1].add_insecure_port(f"127.0.0.1:{port}")
        finally:
            for server in servers:
                await server.stop(None)

    asyncio.run(opened("1"))
    with pytest.raises(RuntimeError, match="bind"):
        asyncio.run(opened("0"))
