"""Who is let in: keys and rates together, asked by every protocol in the same way."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from rayml.serve.access.key_file import KeyFile
from rayml.serve.access.keys import Decision, Key, Keys
from rayml.serve.access.rate import Rate
from rayml.settings.serve import RateSettings

# What a path asks for; `open` ones answer everybody.
Access = Literal["open", "predict", "feedback", "admin"]

# What a browser may ask for by the password that its user gave.
_BY_BROWSER = frozenset({"open", "predict"})
_ALLOWED = Decision(200)


class Guard:
    """Decides on each request by its key, and by how many its client made.

    The rate is that of a key's holder; where no key is asked for, or none is known, that of the
    client's address.

    Args:
        keys: gives the keys of now; None asks for none.
        rate: of a client; None for any.
    """

    def __init__(self, keys: Callable[[], Keys] | None, rate: Rate | None) -> None:
        self._keys = keys
        self._rate = rate
        self.open = keys is None and rate is None

    def check(self, token: bytes | None, access: Access, address: str) -> Decision:
        """Decide on a request.

        Args:
            token: the key that it brings; None for none.
            access: what it asks for.
            address: of the client.
        """
        if self.open or access == "open":
            return _ALLOWED
        decision = _ALLOWED if self._keys is None else self._keys().check(token, access)
        if self._rate is None:
            return decision
        wait = self._rate.take(decision.name or f"address {_network(address)}")
        if wait:
            return Decision(429, "too many requests of one client", decision.name, wait)
        return decision


def make_guard(file: str | None, keys: tuple[Key, ...], rate: RateSettings | None) -> Guard:
    """Make the guard of one replica.

    Args:
        file: path of the file of keys; None for none.
        keys: that are accepted besides.
        rate: per client; None for any.

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

    It comes as `X-Api-Key`, as `Authorization: Bearer`, or, from a browser that asked its user,
    as the password of `Authorization: Basic`. A browser sends that on its own, also when another
    site makes it ask, so only what predicts accepts it.

    Args:
        headers: by their names in lower case.
        access: what is asked for.
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


def refusal_headers(decision: Decision, access: Access) -> tuple[tuple[bytes, bytes], ...]:
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
    """An address, or of version 6 the network of 64 bits that one client usually has."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address
