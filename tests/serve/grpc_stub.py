"""A process that stands for a replica of gRPC: it gives a message back after a moment.

python -m tests.serve.grpc_stub PORT
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
import grpc.aio

ECHO = "/stub.Stub/Echo"
HEALTHY = b"\n\x07success"
"""What Serve's check of a replica's health looks for, as a message."""


async def echo(message: bytes, _: Any) -> bytes:
    await asyncio.sleep(0.01)
    return message


async def healthz(_message: bytes, _: Any) -> bytes:
    return HEALTHY


async def main(port: int) -> None:
    server = grpc.aio.server()
    for service, name, answer in (
        ("stub.Stub", "Echo", echo),
        ("ray.serve.RayServeAPIService", "Healthz", healthz),
    ):
        handler = {name: grpc.unary_unary_rpc_method_handler(answer)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handler),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    print("ready", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
