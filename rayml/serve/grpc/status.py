"""The status of gRPC that says what a status of HTTP says."""

from __future__ import annotations

import grpc

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    405: grpc.StatusCode.UNIMPLEMENTED,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.ABORTED,
    # As gRPC itself refuses a message that is too large.
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}


def grpc_status(status: int) -> grpc.StatusCode:
    """Translate a status of HTTP.

    https://grpc.github.io/grpc/core/md_doc_statuscodes.html says what each of gRPC means.
    """
    if 200 <= status < 300:
        return grpc.StatusCode.OK
    return _CODES.get(status, grpc.StatusCode.UNKNOWN)
