"""Which requests a canary answers."""

from __future__ import annotations

import random
from hashlib import blake2b
from typing import TYPE_CHECKING

from rayml.registry.bundle.signature import Signature
from rayml.registry.release import Canary
from rayml.serve.release.sticky_column import StickyColumn

if TYPE_CHECKING:
    from rayml.serve.http.messages import Request


class CanarySplit:
    """Draws requests for a canary: by chance, or by the hash of a key, which is sticky.

    The hash depends on the key and the canary's version alone, so every replica draws alike, a
    restart changes nothing, and a larger weight keeps those that a smaller one had drawn.

    Args:
        canary: with its weight and its key.
        signature: of the model, which the key may be a column of.
    """

    def __init__(self, canary: Canary, signature: Signature) -> None:
        self._weight = canary.weight
        self._salt = b"%d\0" % canary.version
        kind, _, name = (canary.key or "").partition(":")
        self._header = name.lower().encode() if kind == "header" else None
        self._column = StickyColumn(name, signature) if kind == "column" else None

    async def takes(self, request: Request) -> bool:
        """Whether the canary answers a request.

        Raises:
            RequestError: the body, where the key is in it, cannot be read.
        """
        key = await self._key(request)
        return (random.random() if key is None else self.place(key)) < self._weight  # noqa: S311

    def place(self, key: bytes) -> float:
        """Where a key lies between 0 and 1."""
        digest = blake2b(self._salt + key, digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64

    async def _key(self, request: Request) -> bytes | None:
        if self._header is not None:
            return request.headers.get(self._header)
        if self._column is not None:
            return await self._column.value(request)
        return None
