"""API keys and their scopes, independent of HTTP and gRPC.

A key is 32 random bytes as text. Only its SHA-256 is stored or sent to a replica; a random key
cannot be guessed, so it needs no slower hash. A list has one key a line:

    # name  scopes  SHA-256 of the key
    orders  predict  sha256:0f4c…
    labels  feedback  sha256:77d0…
    ops     predict,admin  sha256:9a1e…

`predict` allows predictions, `feedback` sending labels (they decide on a canary), and `admin`
reading metrics; none includes another. A name may have several keys, so that a new one can be added
before the old one is removed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from rayml.errors import ServeError

Scope = Literal["predict", "feedback", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_PREFIX = "rayml_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_SHORTEST_KEY = 32
_KNOWN = "predict, feedback and admin, several with commas between them"


@dataclass(frozen=True, slots=True)
class Key:
    """A key that is accepted.

    Attributes:
        name: name of its holder.
        scopes: what it allows.
        digest: SHA-256 of the key.
    """

    name: str
    scopes: frozenset[Scope]
    digest: bytes

    def line(self) -> str:
        """The key's line in a list of keys."""
        return f"{self.name} {_listed(self.scopes)} sha256:{self.digest.hex()}"


@dataclass(frozen=True, slots=True)
class AccessDecision:
    """Whether a request is allowed.

    Attributes:
        status: HTTP status: 200; 401 for no key or an unknown one; 403 for a missing scope; 429
            for too many requests.
        reason: message for the client; empty where the request is allowed.
        name: name of the key's holder; None where the key is absent or unknown.
        retry_after_s: of status 429, seconds until a request is allowed again.
    """

    status: Literal[200, 401, 403, 429]
    reason: str = ""
    name: str | None = None
    retry_after_s: float = 0.0


class Keys:
    """The keys that are accepted.

    Args:
        keys: the keys, in any order.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys = tuple(keys)

    def check(self, token: bytes | None, scope: Scope) -> AccessDecision:
        """Decide whether a token allows a scope.

        The time depends neither on the token's bytes nor on which key matches: hashes are
        compared, in constant time, with all keys.
        """
        if token is None:
            return AccessDecision(
                401, "a key is needed: send it as `Authorization: Bearer KEY` or `X-Api-Key: KEY`"
            )
        digest = digest_of(token)
        found: Key | None = None
        for key in self.keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        if found is None:
            return AccessDecision(401, "the key is unknown")
        if scope not in found.scopes:
            remedy = f"make one that has it with `{_command(found, scope)}`"
            return AccessDecision(403, f"the key lacks the scope {scope}; {remedy}", found.name)
        return AccessDecision(200, name=found.name)


def _listed(scopes: Iterable[Scope]) -> str:
    given = set(scopes)
    return ",".join(scope for scope in SCOPES if scope in given)


def _command(key: Key, scope: Scope) -> str:
    return f"rayml key NAME:{_listed({*key.scopes, scope})} serve.keys.file=PATH"


def digest_of(token: bytes) -> bytes:
    """SHA-256 of a key."""
    return hashlib.sha256(token).digest()


def new_key(name: str, scopes: Iterable[Scope]) -> tuple[str, Key]:
    """Make a key.

    Returns:
        The key itself, and what is stored of it.

    Raises:
        ServeError: the name is malformed.
    """
    token = _PREFIX + secrets.token_urlsafe(32)
    return token, Key(_name(name), frozenset(scopes), digest_of(token.encode()))


def parse_scopes(text: str) -> frozenset[Scope]:
    """Read scopes that commas separate.

    Raises:
        ServeError: one is unknown.
    """
    named = text.split(",")
    scopes = frozenset(scope for scope in SCOPES if scope in named)
    if len(scopes) != len(named):
        raise ServeError("unknown scopes", found=text, remedy=f"The scopes are {_KNOWN}")
    return scopes


def parse_keys(text: str, *, place: str, plain: bool = False) -> Keys:
    """Read a list of keys.

    Args:
        text: one key a line; empty lines and those that begin with # are skipped.
        place: source of the text, for messages.
        plain: whether a line may hold the key itself in place of its hash.

    Raises:
        ServeError: a line is malformed, or there is no key. The message never holds a key.
    """
    lines = [line.strip() for line in text.splitlines()]
    keys = [
        _parse(line, place=f"{place}, line {number}", plain=plain)
        for number, line in enumerate(lines, start=1)
        if line and not line.startswith("#")
    ]
    if not keys:
        raise ServeError(
            f"{place} holds no key",
            remedy="Make one with `rayml key NAME serve.keys.file=PATH`",
        )
    return Keys(keys)


def _parse(line: str, *, place: str, plain: bool) -> Key:
    # No message shows the line, which may hold a key by mistake.
    parts = line.split()
    if len(parts) != 3:
        raise ServeError(
            f"{place} has {len(parts)} words, not 3",
            remedy=f"Write `name scopes sha256:HEX`; the scopes are {_KNOWN}",
        )
    name, scopes, secret = parts
    if match := _HASH.fullmatch(secret):
        digest = bytes.fromhex(match[1])
    elif plain and len(secret) >= _SHORTEST_KEY and not secret.startswith("sha256:"):
        digest = digest_of(secret.encode())
    else:
        also = f" or a key of {_SHORTEST_KEY} characters or more" if plain else ""
        raise ServeError(
            f"{place}: the third word is no hash of a key",
            remedy=f"Write sha256: and 64 hex digits{also}",
        )
    try:
        return Key(_name(name), parse_scopes(scopes), digest)
    except ServeError as error:
        raise ServeError(f"{place}: {error}") from None


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ServeError(
            "a key cannot have this name",
            remedy="Use at most 64 letters, digits, dots, dashes and underscores, the first a"
            " letter or a digit",
        )
    return name
