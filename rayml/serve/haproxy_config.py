"""What rayml changes in the configuration that Ray Serve writes for HAProxy.

Serve sends a request again only if no byte of it reached a replica, since it cannot know what a
request does. A prediction changes nothing, so one whose replica dies is sent to another. What
cannot be sent again is refused in the form of every other error, with the time to come again.
https://docs.haproxy.org/2.8/configuration.html describes the directives.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from rayml.serve.haproxy_grpc import adapt_grpc, write_grpc_errors

# A request that fits in a buffer can be sent again; a busy connection holds two or three.
BUFFER_BYTES = 65536
RETRY_ON = "conn-failure empty-response"
# Replicas are in the same cluster. It also bounds the pause before another one is tried.
_CONNECT_MS = 250
# A replica that refuses a check has died, but one that answers it late is only busy; were it taken
# out by the default, which is the time between checks, the load would fall on the others.
_CHECK_S = 10


def _said(error: str) -> str:
    body = json.dumps({"error": error})
    return f"content-type application/json string '{body}' hdr Retry-After 1"


_GONE = "the replica that held the request has ended; send it again"
_NOBODY = "no replica can take the request now; send it again"
_ERRORS = {
    408: ("408 Request Timeout", "the request did not arrive in time"),
    500: ("503 Service Unavailable", _GONE),
    502: ("503 Service Unavailable", _GONE),
    503: ("503 Service Unavailable", _NOBODY),
    504: ("503 Service Unavailable", _GONE),
}
# A request goes to a replica once it is here, so that it can be sent again, and an answer goes to
# the client once it is here, since half of one helps nobody; as far as a buffer holds them.
_WHOLE = f"""\
    option http-buffer-request
    http-response wait-for-body time 5s
    http-response set-var(txn.length) res.body_size
    http-response return status 503 {_said(_GONE)} if \
{{ res.body_size lt {BUFFER_BYTES // 2} }} {{ res.body_len,sub(txn.length) lt 0 }}
    # What is no JSON does not come from the endpoint but from Serve, while no replica runs.
    http-response return status 503 {_said(_NOBODY)} if \
{{ status 404 408 500:599 }} !{{ res.hdr(content-type) -m beg application/json }}
"""
_PUBLIC = re.compile(r"^frontend (http_frontend|grpc_frontend)\n(?:[ ].*\n|\n)*", re.MULTILINE)
_BIND = re.compile(r"^( *bind )(\S+:\d+)", re.MULTILINE)
_SOCKET = re.compile(r"^( *stats socket )(\S+)", re.MULTILINE)


def addresses(text: str) -> list[str]:
    """The addresses that clients connect to, as `host:port`."""
    return [
        bind.group(2) for part in _PUBLIC.finditer(text) for bind in _BIND.finditer(part.group())
    ]


def admin_socket(text: str) -> Path:
    """Where Serve looks for HAProxy's admin socket."""
    found = _SOCKET.search(text)
    if found is None:
        raise ValueError("the configuration has no `stats socket`")
    return Path(found.group(2))


def knows_replicas(text: str) -> bool:
    """Whether there is anybody to send requests to."""
    return re.search(r"^ *use_backend ", text, re.MULTILINE) is not None


def adapt(
    text: str, *, binds: Mapping[str, str], admin: Path, errors: Path, arrival_s: float
) -> str:
    """Change a configuration.

    Args:
        text: as Serve wrote it.
        binds: what is bound in place of each of its `addresses`.
        admin: where HAProxy puts its admin socket.
        errors: folder of the files that `write_errors` wrote.
        arrival_s: seconds in which a request must arrive.
    """
    text = _PUBLIC.sub(lambda part: _public(part.group(), binds), text)
    text = _SOCKET.sub(lambda found: f"{found.group(1)}{admin}", text)
    text = re.sub(r"^ *errorfile .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^ *timeout connect .*$", "", text, flags=re.MULTILINE)
    defaults = [
        f"timeout connect {_CONNECT_MS}ms",
        f"timeout http-request {arrival_s:g}s",
        f"timeout check {_CHECK_S}s",
        *(f"errorfile {status} {errors / f'{status}.http'}" for status in _ERRORS),
    ]
    text = text.replace("defaults\n", "".join(["defaults\n", *(f"    {x}\n" for x in defaults)]))
    nobody = f"http-request return status 503 {_said(_NOBODY)}"
    text = re.sub(r"http-request return status 404 .*$", nobody, text, flags=re.MULTILINE)
    return adapt_grpc(
        text, errors=errors, statuses=_ERRORS, nobody=_NOBODY, buffer_bytes=BUFFER_BYTES
    )


def _public(part: str, binds: Mapping[str, str]) -> str:
    part = _BIND.sub(lambda found: f"{found.group(1)}{binds[found.group(2)]}", part)
    head, _, rest = part.partition("\n")
    return f"{head}\n{'' if head.endswith('grpc_frontend') else _WHOLE}{rest}"


def write_errors(folder: Path) -> None:
    """Write the answers that HAProxy itself gives, in the form of every error."""
    write_grpc_errors(folder, {status: message for status, (_, message) in _ERRORS.items()})
    for status, (line, message) in _ERRORS.items():
        body = json.dumps({"error": message})
        headers = ["content-type: application/json", f"content-length: {len(body)}"]
        if line.startswith("503"):
            headers.append("retry-after: 1")
        head = "\r\n".join([f"HTTP/1.1 {line}", *headers])
        (folder / f"{status}.http").write_bytes(f"{head}\r\n\r\n{body}".encode())
