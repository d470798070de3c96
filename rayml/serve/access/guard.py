"""Access to an endpoint: keys and rate limits together, the same for every protocol."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from rayml.serve.access.key_file import KeyFile
from rayml.serve.access.keys import AccessDecision, Key, Keys
from rayml.serve.access.rate import Rate
from rayml.settings.serve import RateSettings

# The scope that a path needs; `open` needs none.
Access = Literal["open", "predict", "feedback", "admin"]

# Scopes that a browser may use with the password of its user.
_BY_BROWSER = frozenset({"open", "predict"})
_ALLOWED = AccessDecision(200)


class Guard:
    """Decides on each request by its key and by the rate of its client.

    A client is the holder of a key; without a known key, it is an address.

    Args:
        keys: returns the keys that are valid now; None where no key is needed.
        rate: limits each client; None for no limit.
    """

    def __init__(self, keys: Callable[[], Keys] | None, rate: Rate | None) -> None:
        self._keys = keys
        self._rate = rate
        self.open = keys is None and rate is None

    def check(self, token: bytes | None, access: Access, address: str) -> AccessDecision:
        """Decide on a request.

        Args:
            token: the key in the request; None where it has none.
            access: the scope that its path needs.
            address: IP address of the client.
        """
        if self.open or access == "open":
            return _ALLOWED
        decision = _ALLOWED if self._keys is None else self._keys().check(token, access)
        if self._rate is None:
            return decision
        wait = self._rate.take(decision.name or f"address {_network(address)}")
        if wait:
            return AccessDecision(429, "too many requests of one client", decision.name, wait)
        return decision


def make_guard(file: str | None, keys: tuple[Key, ...], rate: RateSettings | None) -> Guard:
    """Make the guard of one replica.

    Args:
        file: path of the file of keys; None for none.
        keys: further keys.
        rate: limit per client; None for no limit.

    Raises:
        ServeError: the file cannot be used.
    """
    source = _source(file, keys)
    return Guard(source, Rate(rate.requests_per_second, rate.burst) if rate else None)


def _source(file: str | None, keys: tuple[Key, ...]) -> Callable[[], Keys] | None:
    if file is not None:
        read = KeyFile(Path(file))
        return (lambda: Keys(read.current().keys + keys)) if keys else read.current
    fixed = Keys(keys)
    return (lambda: fixed) if keys else None


def token_of(headers: Mapping[bytes, bytes], access: Access) -> bytes | None:
    """Find the key in the headers of HTTP, or in the metadata of gRPC.

    The key is `X-Api-Key`, `Authorization: Bearer`, or the password of `Authorization: Basic`,
    which a browser asks its user for. A browser also sends a password when another site makes it
    send the request, so that only paths that predict accept one.

    Args:
        headers: values by name in lower case.
        access: the scope that the path needs.
    """
    if (token := headers.get(b"x-api-key")) is not None:
        return token.strip()
    scheme, _, given = headers.get(b"authorization", b"").strip().partition(b" ")
    match scheme.lower():
        case b"bearer":
            return given.strip()
        case b"basic" if access in _BY_BROWSER:
            try:
                return base64.b64decode(given.strip(), validate=True).partition(b":")[2]
            except binascii.Error:
                return b""
        case _:
            return None


def refusal_headers(decision: AccessDecision, access: Access) -> tuple[tuple[bytes, bytes], ...]:
    """Headers of HTTP that a refusal carries (RFC 6750, RFC 6585)."""
    match decision.status:
        case 401:
            basic = b', Basic realm="rayml"' if access in _BY_BROWSER else b""
            return ((b"www-authenticate", b'Bearer realm="rayml"' + basic),)
        case 403:
            return ((b"www-authenticate", b'Bearer realm="rayml", error="insufficient_scope"'),)
        case 429:
            return ((b"retry-after", b"%d" % math.ceil(decision.retry_after_s)),)
        case _:
            return ()


def _network(address: str) -> str:
    """An address; of IPv6 the /64 network, which one client usually has as a whole."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address
