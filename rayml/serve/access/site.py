"""Who may ask an endpoint from a browser: the names of its site, and the pages of others.

A browser asks whatever a page tells it to, and says by `Origin` whose page that was. What comes
without an `Origin` does not come from a page of another site. https://fetch.spec.whatwg.org
describes how a page is allowed to read what it asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rayml.serve.access.hosts import Hosts
from rayml.serve.http.messages import Headers, Request, Response, error_response

# Asked by load balancers and orchestrators by whatever name they have; they tell nothing.
PROBES = frozenset({"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_EXPOSED = (
    b"x-request-id, x-model-name, x-model-version, retry-after, inference-header-content-length"
)
_VARY = (b"vary", b"origin")
_PREFLIGHT_S = b"600"


class Site:
    """Refuses what came under a foreign name, and what a page of another site changes.

    Args:
        hosts: that the endpoint answers to.
        origins: of other sites whose pages may ask it, as `https://shop.example`.
    """

    def __init__(self, hosts: Hosts, origins: Iterable[str] = ()) -> None:
        self._hosts = hosts
        self._origins = frozenset(origin.lower().encode() for origin in origins)
        self.shared = bool(self._origins)

    def refusal(self, request: Request) -> Response | None:
        """The answer to a request that is refused; None for others."""
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
        """Answer a browser that asks whether a page may ask; None for what is no such question."""
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
        """Whether pages of another site may ask."""
        return origin.lower() in self._origins

    def headers(self, request: Mapping[bytes, bytes]) -> Headers:
        """Headers of any answer that let a page of an allowed site read it.

        Args:
            request: its headers.
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
    """Whether an origin is the site that was asked; what stands before it may speak TLS."""
    scheme, _, authority = origin.lower().partition(b"://")
    return scheme in {b"http", b"https"} and host is not None and authority == host.lower()


def _no_such_host(host: bytes) -> Response:
    name = host.decode("latin-1")[:200]
    return error_response(
        421,
        f"this endpoint does not answer to the host {name!r}. "
        "Add the name to serve.hosts if it is the endpoint's, or use its address",
    )


def _foreign(origin: bytes) -> Response:
    name = origin.decode("latin-1")[:200]
    return error_response(
        403,
        f"pages of {name!r} may not ask this endpoint. "
        "Add the origin to serve.origins if they should",
    )
