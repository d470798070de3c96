"""Requests from browsers: the endpoint's own site, and pages of other sites (CORS).

A browser sends the requests that a page makes, and names the page's site in `Origin`. A request
without an `Origin` does not come from a page of another site. https://fetch.spec.whatwg.org
describes how a page gets to read an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rayml.serve.access.hosts import Hosts
from rayml.serve.http.messages import Headers, Request, Response, error_response

# Load balancers and orchestrators ask these under any host name; the answers reveal nothing.
PROBES = frozenset({"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_EXPOSED = (
    b"x-request-id, x-model-name, x-model-version, retry-after, inference-header-content-length"
)
_VARY = (b"vary", b"origin")
_PREFLIGHT_S = b"600"


class Site:
    """Refuses requests for an unknown host, and changes that a page of another site asks for.

    Args:
        hosts: the host names that the endpoint answers to.
        origins: other sites whose pages may use the endpoint, as `https://shop.example`.
    """

    def __init__(self, hosts: Hosts, origins: Iterable[str] = ()) -> None:
        self._hosts = hosts
        self._origins = frozenset(origin.lower().encode() for origin in origins)
        self.shared = bool(self._origins)

    def refusal(self, request: Request) -> Response | None:
        """The answer that refuses a request; None where it is allowed."""
        headers = request.headers
        host = headers.get(b"host")
        if host is not None and not self._hosts.knows(host) and request.path not in PROBES:
            return _no_such_host(host)
        if request.method in _SAFE:
            return None
        origin = headers.get(b"origin")
        if origin is None or _same(origin, host) or origin.lower() in self._origins:
            return None
        return _foreign(origin)

    def preflight(self, request: Request, methods: Iterable[str]) -> Response | None:
        """Answer a CORS preflight request; None for any other request."""
        headers = request.headers
        origin = headers.get(b"origin")
        if request.method != "OPTIONS" or b"access-control-request-method" not in headers:
            return None
        if origin is None or not (_same(origin, headers.get(b"host")) or self.allows(origin)):
            return _foreign(origin or b"")
        answer: Headers = (
            (b"access-control-allow-methods", ", ".join(methods).encode()),
            (b"access-control-max-age", _PREFLIGHT_S),
        )
        if (asked := headers.get(b"access-control-request-headers")) is not None:
            answer += ((b"access-control-allow-headers", asked),)
        return Response(200, b"", b"text/plain", answer)

    def allows(self, origin: bytes) -> bool:
        """Whether pages of another site may use the endpoint."""
        return origin.lower() in self._origins

    def headers(self, request: Mapping[bytes, bytes]) -> Headers:
        """Headers of an answer that let a page of an allowed site read it.

        Args:
            request: headers of the request.
        """
        origin = request.get(b"origin")
        if origin is None or not self.allows(origin):
            return (_VARY,)
        return (
            _VARY,
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _EXPOSED),
        )


def _same(origin: bytes, host: bytes | None) -> bool:
    """Whether an origin is the requested host; a proxy in front may add TLS, so schemes differ."""
    scheme, _, authority = origin.lower().partition(b"://")
    return scheme in {b"http", b"https"} and host is not None and authority == host.lower()


def _no_such_host(host: bytes) -> Response:
    name = host.decode("latin-1")[:200]
    return error_response(
        421,
        f"this endpoint does not answer to the host {name!r}. "
        "If it is a name of the endpoint, add it to serve.hosts; or use the endpoint's address",
    )


def _foreign(origin: bytes) -> Response:
    name = origin.decode("latin-1")[:200]
    return error_response(
        403,
        f"pages of {name!r} may not use this endpoint. "
        "Add that origin to serve.origins to allow them",
    )
