"""The store of prepared datasets: folders by hash, each complete from the moment it exists."""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rayml.storage.disk import make_folder

_DIGITS = 16


def hash_of(content: Mapping[str, object]) -> str:
    """Hash of values of JSON, independent of the order of keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """Give a temporary folder to fill, which becomes `folder` in one step at the end.

    Of several writers the first one wins; the folders of the others, and of a writer that fails,
    are removed.

    Raises:
        StorageError: the disk is full or read-only.
    """
    temporary = folder.parent / f".{folder.name}-{uuid.uuid4().hex[:8]}"
    make_folder(temporary)
    try:
        yield temporary
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
