"""Changes the configuration of HAProxy for gRPC.

HAProxy passes a call on once it has all of it, so that it can send it again, and an answer once it
has all of that with its status; as far as a buffer holds them. A call that cannot be sent again
gets the status UNAVAILABLE, and clients with a retry policy send it again themselves.
https://grpc.github.io/grpc/core/md_doc_statuscodes.html lists the statuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

_FRONTEND = "frontend grpc_frontend\n"
_BACKEND = re.compile(r"^backend .*\n(?:[ ].*\n|\n)*", re.MULTILINE)
_NOT_FOUND = re.compile(r'hdr grpc-status 5 hdr grpc-message "[^"]*"')
# Serve checks only gRPC servers in this way.
_OF_GRPC = "option tcp-check"
# Serve's proxy would answer it without asking for a key; replicas ask for one.
_LIST = re.compile(r"^ *use_backend grpc_fallback_backend if is_list_applications\n", re.MULTILINE)
_FALLBACK = "backend grpc_fallback_backend"
# Calls whose client waits for answers before it has sent everything, or whose answer has no end.
_STREAMS = "/grpc.reflection. /grpc.health.v1.Health/Watch"
STREAMS_SUFFIX = "_streams"
"""At the end of the name of a backend whose requests may last for ever."""
_CHECKS = re.compile(r"^ *(?:option tcp-check|tcp-check|default-server|#).*\n", re.MULTILINE)
_SERVER = re.compile(r"^( *server (\S+) \S+ proto h2) check.*?( backup)?$", re.MULTILINE)
_UNAVAILABLE: Final = 14
# gRPC statuses by HTTP status, else UNAVAILABLE: INVALID_ARGUMENT and DEADLINE_EXCEEDED.
_CODES: Final = {400: 3, 408: 4}
# The Retry-After of gRPC: https://github.com/grpc/proposal/blob/master/A6-client-retries.md
_PUSHBACK = ("grpc-retry-pushback-ms", "1000")


def adapt_grpc(
    text: str, *, errors: Path, statuses: Iterable[int], nobody: str, buffer_bytes: int
) -> str:
    """Change a configuration; one without gRPC stays as it is.

    Args:
        text: the configuration, its HTTP parts already changed.
        errors: folder of the files that `write_grpc_errors` wrote.
        statuses: HTTP statuses that have such a file.
        nobody: message while no replica runs; Serve would answer that the method is not found.
        buffer_bytes: size of HAProxy's buffer.
    """
    files = "".join(f"    errorfile {each} {errors / f'{each}.grpc'}\n" for each in statuses)
    refused = (
        f"hdr grpc-status {_UNAVAILABLE} hdr grpc-message '{nobody}' hdr {' '.join(_PUSHBACK)}"
    )

    def backend(part: re.Match[str]) -> str:
        head, _, rest = part.group().partition("\n")
        if _OF_GRPC not in rest:
            return part.group()
        if head == _FALLBACK:
            return f"{head}\n{files}{rest}"
        return f"{head}\n{files}{_whole(buffer_bytes)}{rest}{_streams(head, files, rest)}"

    text = _BACKEND.sub(backend, _LIST.sub("", _NOT_FOUND.sub(refused, text)))
    known = re.findall(rf"^backend (\S+){STREAMS_SUFFIX}$", text, re.MULTILINE)
    # An endpoint is one application, so one backend.
    streams = "".join(
        f"    use_backend {each}{STREAMS_SUFFIX} if {{ path_beg {_STREAMS} }}\n" for each in known
    )
    return text.replace(_FRONTEND, f"{_FRONTEND}{files}{streams}")


def _streams(head: str, files: str, rest: str) -> str:
    """A backend of the same servers that passes on each part of a call as it comes."""
    name = head.split()[1]
    tracked = _SERVER.sub(rf"\1 track {name}/\2\3", _CHECKS.sub("", rest))
    return f"backend {name}{STREAMS_SUFFIX}\n{files}{tracked}"


def _whole(buffer_bytes: int) -> str:
    # The deny sends nothing, so the client sees a refused stream and may send the call again;
    # without it HAProxy would cancel the call, which no client retries. An answer that fills the
    # buffer is on its way already.
    return f"""\
    option http-buffer-request
    http-response wait-for-body time 5s
    http-response deny deny_status 502 errorfile /dev/null if \
{{ res.body_len lt {buffer_bytes * 3 // 4} }} !{{ internal.htx.has_eom }}
"""


def write_grpc_errors(folder: Path, messages: Mapping[int, str]) -> None:
    """Write the errors that HAProxy itself answers to calls: trailers with the call's status.

    Args:
        folder: folder of the files.
        messages: messages by the HTTP status that HAProxy would answer.
    """
    for status, message in messages.items():
        code = _CODES.get(status, _UNAVAILABLE)
        headers = [
            ("content-type", "application/grpc"),
            ("content-length", "0"),
            ("grpc-status", f"{code}"),
            ("grpc-message", message),
            *([_PUSHBACK] if code == _UNAVAILABLE else []),
        ]
        lines = ["HTTP/1.1 200 OK", *(f"{name}: {value}" for name, value in headers), "", ""]
        (folder / f"{status}.grpc").write_bytes("\r\n".join(lines).encode())
