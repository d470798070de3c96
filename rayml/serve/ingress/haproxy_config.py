"""Changes the configuration that Ray Serve writes for HAProxy.

Serve has no options for these changes. The endpoint's own ports bind to its host, and every other
port to the loopback address; only its owner may use the admin socket.

Serve sends a request again only if no byte of it reached a replica, since a request may change
something. A prediction changes nothing, so where a replica dies, another one gets the request. A
request that cannot be sent again gets an error like every other, with a Retry-After.
https://docs.haproxy.org/2.8/configuration.html describes the directives.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from rayml.errors import ServeError
from rayml.serve.ingress.haproxy_grpc import adapt_grpc, write_grpc_errors
from rayml.serve.ingress.haproxy_http import rules, said

# A request that fits in a buffer can be sent again; a busy connection holds two or three.
BUFFER_BYTES = 65536
RETRY_ON = "conn-failure empty-response"
# Replicas are in the same cluster. This also bounds the pause before another replica is tried.
_CONNECT_MS = 250
# A replica that refuses a check has died; one that answers late is busy. HAProxy's default timeout,
# the time between checks, would take busy replicas out and move their load to the others.
_CHECK_S = 10


_ADMIN_MODE = "600"
# A client can neither set a request's timeout nor its source address, nor see the server's name.
_HEADERS = """\
    http-request del-header x-request-timeout-seconds
    http-request del-header x-request-disconnect-disabled
    http-request set-header x-forwarded-for %[src]
    http-after-response del-header server
    http-after-response set-header x-content-type-options nosniff
"""


def _said_again(error: str) -> str:
    return f"{said(error)} hdr Retry-After 1"


GONE = "the replica that held the request has ended; send it again"
_NOBODY = "no replica can take the request now; send it again"
_TORN = f"the request is not HTTP/1.1, or its head is larger than {BUFFER_BYTES} bytes"
# HAProxy 2.8 answers a malformed request (400, 422) and a late head (408) with pages of its own,
# which no directive replaces; later versions use these files for them, see
# https://github.com/haproxy/haproxy/issues/3032.
_ERRORS = {
    400: ("400 Bad Request", _TORN),
    408: ("408 Request Timeout", "the request did not arrive in time"),
    500: ("503 Service Unavailable", GONE),
    502: ("503 Service Unavailable", GONE),
    503: ("503 Service Unavailable", _NOBODY),
    504: ("503 Service Unavailable", GONE),
}
# HAProxy passes a request on once it has all of it, so that it can send it again, and an answer
# likewise, so that no client gets half of one; as far as a buffer holds them.
_WHOLE = f"""\
    http-response wait-for-body time 5s
    http-response set-var(txn.length) res.body_size
    http-response return status 503 {_said_again(GONE)} if \
{{ res.body_size lt {BUFFER_BYTES // 2} }} {{ res.body_len,sub(txn.length) lt 0 }}
    # A replica's server refuses a malformed request as plain text.
    http-response return status 400 {said(_TORN)} if \
{{ status 400 }} !{{ res.hdr(content-type) -m beg application/json }}
    # An answer that is not JSON comes from Serve, while no replica runs.
    http-response return status 503 {_said_again(_NOBODY)} if \
{{ status 404 408 500:599 }} !{{ res.hdr(content-type) -m beg application/json }}
"""
_PUBLIC = re.compile(r"^frontend (http_frontend|grpc_frontend)\n(?:[ ].*\n|\n)*", re.MULTILINE)
_BIND = re.compile(r"^( *bind )(\S*):(\d+)", re.MULTILINE)
_SOCKET = re.compile(r"^( *stats socket )(\S+)(?: mode (\d+))?", re.MULTILINE)
_LOG = re.compile(r"^ *log \S+ local0 info\n", re.MULTILINE)
_OPENS = re.compile(r"^ *(bind|stats socket) +(\S+).*", re.MULTILINE)
_REPLICA = re.compile(r"^ *server (SERVE_REPLICA_\S+)", re.MULTILINE)
_LOOPBACK = re.compile(r"(127\.[0-9.]+|\[?::1\]?):\d+")


def addresses(text: str, host: str) -> list[str]:
    """The addresses that clients connect to, as `host:port`.

    Args:
        text: the configuration that Serve wrote.
        host: address that the endpoint is bound to; an IPv6 address in brackets.
    """
    return [
        f"{host}:{bind.group(3)}"
        for part in _PUBLIC.finditer(text)
        for bind in _BIND.finditer(part.group())
    ]


def admin_socket(text: str) -> Path:
    """Path of HAProxy's admin socket, as Serve expects it."""
    found = _SOCKET.search(text)
    if found is None:
        raise ValueError("the configuration has no `stats socket`")
    return Path(found.group(2))


def knows_replicas(text: str) -> bool:
    """Whether the configuration sends requests to any server."""
    return re.search(r"^ *use_backend ", text, re.MULTILINE) is not None


def replicas(text: str) -> int:
    """Number of replicas that HAProxy asks directly, not through Serve's own proxy."""
    return len(set(_REPLICA.findall(text)))


def adapt(
    text: str,
    *,
    host: str,
    binds: Mapping[str, str],
    admin: Path,
    errors: Path,
    arrival_s: float,
    max_body_bytes: int | None = None,
    logs: bool = True,
) -> str:
    """Change a configuration.

    Args:
        text: the configuration that Serve wrote.
        host: see `addresses`.
        binds: what to bind in place of each of the `addresses`.
        admin: path of HAProxy's admin socket.
        errors: folder of the files that `write_errors` wrote.
        arrival_s: seconds in which a request must arrive.
        max_body_bytes: a body declared to be larger is refused before it comes; None for no limit.
        logs: whether HAProxy logs a line for each request.

    Raises:
        ServeError: the configuration opens another port or socket to other machines.
    """
    first = rules(max_body_bytes=max_body_bytes, arrival_s=arrival_s, buffer_bytes=BUFFER_BYTES)
    text = _PUBLIC.sub(lambda part: _public(part.group(), host, binds, first), text)
    text = re.sub(r"^( *bind )\*?:", r"\g<1>127.0.0.1:", text, flags=re.MULTILINE)
    text = _SOCKET.sub(rf"\g<1>{admin} mode {_ADMIN_MODE}", text, count=1)
    if not logs:
        text = _LOG.sub("", text)
    _require_closed(text, {*binds.values(), f"{admin}"})
    text = re.sub(r"^ *errorfile .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^ *timeout connect .*$", "", text, flags=re.MULTILINE)
    defaults = [
        f"timeout connect {_CONNECT_MS}ms",
        f"timeout http-request {arrival_s:g}s",
        f"timeout check {_CHECK_S}s",
        *(f"errorfile {status} {errors / f'{status}.http'}" for status in _ERRORS),
    ]
    text = text.replace("defaults\n", "".join(["defaults\n", *(f"    {x}\n" for x in defaults)]))
    nobody = f"http-request return status 503 {_said_again(_NOBODY)}"
    text = re.sub(r"http-request return status 404 .*$", nobody, text, flags=re.MULTILINE)
    return adapt_grpc(
        text, errors=errors, statuses=_ERRORS, nobody=_NOBODY, buffer_bytes=BUFFER_BYTES
    )


def _public(part: str, host: str, binds: Mapping[str, str], first: str) -> str:
    part = _BIND.sub(lambda found: f"{found.group(1)}{binds[f'{host}:{found.group(3)}']}", part)
    head, _, rest = part.partition("\n")
    own = "" if head.endswith("grpc_frontend") else f"{first}{_HEADERS}{_WHOLE}"
    return f"{head}\n{own}{rest}"


def _require_closed(text: str, known: Collection[str]) -> None:
    for found in _OPENS.finditer(text):
        if found.group(2) not in known and not _LOOPBACK.fullmatch(found.group(2)):
            raise ServeError(
                "Ray's configuration of HAProxy opens another port than the endpoint's",
                found=found.group().strip(),
                remedy="Use the Ray that rayml's lock file names",
            )


def write_errors(folder: Path) -> None:
    """Write the errors that HAProxy itself answers, in the JSON form of every error."""
    write_grpc_errors(folder, {status: message for status, (_, message) in _ERRORS.items()})
    for status, (line, message) in _ERRORS.items():
        body = json.dumps({"error": message})
        headers = [
            "content-type: application/json",
            f"content-length: {len(body)}",
            "x-content-type-options: nosniff",
            "connection: close",
        ]
        if line.startswith("503"):
            headers.append("retry-after: 1")
        head = "\r\n".join([f"HTTP/1.1 {line}", *headers])
        (folder / f"{status}.http").write_bytes(f"{head}\r\n\r\n{body}".encode())
