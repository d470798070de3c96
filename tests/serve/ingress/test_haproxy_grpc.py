"""What becomes of the parts of HAProxy's configuration that are about gRPC."""

from __future__ import annotations

from pathlib import Path

from rayml.serve.ingress.haproxy_grpc import adapt_grpc

CONFIG = """\
frontend grpc_frontend
    bind 127.0.0.1:9000 proto h2
    acl is_list_applications path /ray.serve.RayServeAPIService/ListApplications
    use_backend grpc_fallback_backend if is_list_applications
    default_backend app
backend grpc_fallback_backend
    option tcp-check
    tcp-check connect
    server fallback 127.0.0.1:9500 proto h2 check
backend app
    timeout server 40s
    # How a replica is checked.
    option tcp-check
    tcp-check connect
    default-server inter 1s fall 2
    server a 127.0.0.1:31000 proto h2 check observe layer4 error-limit 1 on-error mark-down
    server fallback 127.0.0.1:9500 proto h2 check backup
listen stats
  bind 127.0.0.1:8404
"""


def adapted(text: str = CONFIG) -> dict[str, list[str]]:
    """The lines of each section."""
    changed = adapt_grpc(
        text, errors=Path("/e"), statuses=[503], nobody="nobody", buffer_bytes=1000
    )
    sections: dict[str, list[str]] = {}
    name = ""
    for line in changed.splitlines():
        if line.startswith(" "):
            sections[name].append(line.strip())
        else:
            name = line
            sections[name] = []
    return sections


def test_calls_without_an_end_have_a_backend_that_waits_for_nothing() -> None:
    sections = adapted()
    assert sections["backend app_streams"] == [
        "errorfile 503 /e/503.grpc",
        "timeout server 40s",
        "server a 127.0.0.1:31000 proto h2 track app/a",
        "server fallback 127.0.0.1:9500 proto h2 track app/fallback backup",
    ]
    assert "option http-buffer-request" in sections["backend app"]
    frontend = sections["frontend grpc_frontend"]
    assert "option http-buffer-request" not in frontend
    (streams,) = [line for line in frontend if "use_backend app_streams" in line]
    assert "/grpc.health.v1.Health/Watch" in streams
    assert "/grpc.reflection." in streams


def test_the_list_of_applications_is_asked_of_replicas_which_know_the_keys() -> None:
    sections = adapted()
    assert not any("grpc_fallback_backend" in line for line in sections["frontend grpc_frontend"])
    assert "option http-buffer-request" not in sections["backend grpc_fallback_backend"]


def test_a_configuration_without_grpc_stays_as_it_is() -> None:
    text = (
        "frontend http_frontend\n    bind :8000\nbackend app\n    server a 127.0.0.1:30000 check\n"
    )
    assert adapted(text)["backend app"] == ["server a 127.0.0.1:30000 check"]
