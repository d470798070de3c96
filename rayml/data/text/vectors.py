"""Where the vectors of texts come from: computed once for each text and encoder, then looked up.

The key of a text is the hash of its content. While data are prepared, vectors are kept in an SQLite
file for each encoder, in the store of prepared data: equal texts, and the same texts prepared
again, are encoded once. An endpoint keeps those of the latest texts in memory.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rayml.data.text.encoder import Encoded, TextEncoder
from rayml.data.text.stored import StoredEncoder
from rayml.errors import DataError

MOST_IN_MEMORY = 4096
"""Texts whose vectors an endpoint keeps at most."""

MOST_ON_DISK = 16 << 30
"""Bytes of a file of vectors at most; further texts are encoded each time."""

_TOGETHER = 512  # texts that are encoded before their vectors are kept
_WAIT_S = 120.0


class Vectors(Protocol):
    """Gives the vectors of texts by an encoder."""

    @property
    def encoder(self) -> StoredEncoder:
        """The encoder."""
        ...

    def __call__(self, texts: Sequence[str]) -> Encoded:
        """The vectors of different texts, in their order."""
        ...


class MemoryVectors:
    """Keeps the vectors of the latest texts; safe to use from several threads.

    Args:
        encoder: that computes them.
        most: texts at most.
    """

    def __init__(self, encoder: StoredEncoder, most: int = MOST_IN_MEMORY) -> None:
        self.encoder = encoder
        self._most = most
        self._kept: OrderedDict[bytes, tuple[Any, int]] = OrderedDict()
        self._turn = threading.Lock()

    def __call__(self, texts: Sequence[str]) -> Encoded:
        """The vectors of texts, in their order."""
        keys = [_key(text) for text in texts]
        found = {}
        with self._turn:
            for key in keys:
                if (kept := self._kept.get(key)) is not None:
                    self._kept.move_to_end(key)
                    found[key] = kept
        lacking = [place for place, key in enumerate(keys) if key not in found]
        if lacking:
            made = self.encoder.load().encode([texts[place] for place in lacking])
            new = {
                keys[place]: (made.vectors[at], int(made.tokens[at]))
                for at, place in enumerate(lacking)
            }
            found |= new
            with self._turn:
                # Copied, so that one vector does not keep those of a whole batch.
                latest = list(new.items())[-self._most :]
                self._kept.update((key, (vector.copy(), n)) for key, (vector, n) in latest)
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
        return Encoded(
            np.stack([found[key][0] for key in keys]),
            np.array([found[key][1] for key in keys], np.int64),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.encoder, self._most)


@dataclass(frozen=True)
class DiskVectors:
    """Keeps vectors in an SQLite file, which several processes may use at a time.

    Attributes:
        encoder: that computes them.
        path: of the file.
    """

    encoder: StoredEncoder
    path: Path

    def __call__(self, texts: Sequence[str]) -> Encoded:
        """The vectors of texts, in their order.

        Raises:
            DataError: the file is torn, or locked for long.
        """
        encoder = self.encoder.load()
        vectors = np.empty((len(texts), encoder.spec.width), np.float32)
        tokens = np.empty(len(texts), np.int64)
        try:
            with closing(sqlite3.connect(self.path, timeout=_WAIT_S)) as file:
                file.execute(_TABLE)
                for start in range(0, len(texts), _TOGETHER):
                    part = slice(start, start + _TOGETHER)
                    vectors[part], tokens[part] = self._part(file, encoder, texts[part])
        except sqlite3.Error as error:
            raise DataError(
                f"the kept vectors of texts cannot be read or written ({error})",
                found=str(self.path),
                remedy="Remove the file if nothing else uses it; the texts are then encoded again",
            ) from error
        return Encoded(vectors, tokens)

    def _part(
        self, file: sqlite3.Connection, encoder: TextEncoder, texts: Sequence[str]
    ) -> tuple[Any, Any]:
        """The vectors and the numbers of tokens of a few texts."""
        keys = [_key(text) for text in texts]
        known = dict(_known(file, keys, encoder.spec.width))
        lacking = [place for place, key in enumerate(keys) if key not in known]
        if lacking:
            made = encoder.encode([texts[place] for place in lacking])
            self._keep(file, [keys[place] for place in lacking], made)
            new = zip(made.vectors, made.tokens, strict=True)
            known.update(zip((keys[place] for place in lacking), new, strict=True))
        found = [known[key] for key in keys]
        return np.stack([vector for vector, _ in found]), [count for _, count in found]

    def _keep(self, file: sqlite3.Connection, keys: Sequence[bytes], made: Encoded) -> None:
        if self.path.stat().st_size > MOST_ON_DISK:
            return
        rows = [
            (key, vector.tobytes(), int(count))
            for key, vector, count in zip(keys, made.vectors, made.tokens, strict=True)
        ]
        with file:
            file.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?)", rows)


_TABLE = (
    "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB, tokens INTEGER)"
    " WITHOUT ROWID"
)


def _known(
    file: sqlite3.Connection, keys: Sequence[bytes], width: int
) -> Iterator[tuple[bytes, tuple[Any, int]]]:
    asked = ",".join("?" * len(keys))
    rows = file.execute(f"SELECT key, vector, tokens FROM vectors WHERE key IN ({asked})", keys)  # noqa: S608
    for key, vector, tokens in rows:
        if len(vector) != 4 * width:
            raise sqlite3.DatabaseError(f"a vector has {len(vector)} bytes, not {4 * width}")
        yield key, (np.frombuffer(vector, np.float32), tokens)


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20).digest()
