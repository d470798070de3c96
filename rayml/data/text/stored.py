"""Encoders as prepared datasets and bundles hold them: a folder of three files.

`encoder.json` says what it is, see `EncoderSpec`; `tokenizer.json` and `model.safetensors` are the
files that its author published, unchanged.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from rayml.data.text.encoder import TextEncoder, loaded
from rayml.data.text.folder import TOKENIZER, WEIGHTS, EncoderFolder
from rayml.data.text.spec import EncoderSpec
from rayml.errors import ConfigError, DataError
from rayml.storage.bounded import TooLargeError, read_bounded

SPEC = "encoder.json"
MOST_WEIGHTS = 2 << 30
"""Bytes of the weights of an encoder at most."""

_MOST_TOKENIZER = 64 << 20
_MOST_SPEC = 1 << 20
_DIGITS = 16

_SPEC: TypeAdapter[EncoderSpec] = TypeAdapter(EncoderSpec)

Read = Callable[[Path, int], bytes]


@dataclass(frozen=True)
class StoredEncoder:
    """An encoder in a folder of three files.

    Attributes:
        folder: that holds them.
        digest: SHA-256 over them, in hex.
        read: gives the content of a file of so many bytes at most.
    """

    folder: Path
    digest: str
    read: Read = field(default=read_bounded, repr=False, compare=False)

    @property
    def name(self) -> str:
        """A name that tells it from others."""
        return self.digest[:_DIGITS]

    def spec(self) -> EncoderSpec:
        """What it is.

        Raises:
            DataError: the file that says so is absent or torn.
            RaymlError: `read` raises it.
        """
        try:
            return _SPEC.validate_json(self.read(self.folder / SPEC, _MOST_SPEC))
        except (OSError, TooLargeError, ValidationError) as error:
            raise self._damaged(str(error)) from error

    def load(self) -> TextEncoder:
        """The encoder itself, once in a process.

        Raises:
            ConfigError: the package `tokenizers` is not installed.
            DataError: its files are absent or torn, or not those that it was stored with.
            RaymlError: `read` raises it.
        """
        return loaded(self.digest, self._made)

    def save(self, folder: Path) -> None:
        """Put its files into a folder, which is made; as links to the same bytes where it can.

        Nobody changes such a file in place, and whoever reads it compares its digest.
        """
        folder.mkdir(parents=True)
        for name in (SPEC, TOKENIZER, WEIGHTS):
            try:
                os.link(self.folder / name, folder / name)
            except OSError:  # another disk, or one without links
                shutil.copyfile(self.folder / name, folder / name)

    def _made(self) -> TextEncoder:
        spec = self.spec()
        try:
            content = self.read(self.folder / SPEC, _MOST_SPEC)
            tokenizer = self.read(self.folder / TOKENIZER, _MOST_TOKENIZER)
            weights = self.read(self.folder / WEIGHTS, MOST_WEIGHTS)
            if digest_of(content, *map(_hash, (tokenizer, weights))) != self.digest:
                raise ValueError("its files are not those that it was stored with")
            return TextEncoder(spec, tokenizer, weights)
        except (OSError, ValueError) as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, why: str) -> DataError:
        return DataError(
            f"the encoder of texts {self.folder} cannot be used: {why}",
            remedy="Restore the folder from a copy, or prepare the data again",
        )


@dataclass(frozen=True)
class NewEncoder:
    """An encoder as its author published it, with its digest.

    Attributes:
        source: its folder.
        content: of `encoder.json`.
        digest: see `StoredEncoder`.
    """

    source: EncoderFolder
    content: bytes
    digest: str

    @classmethod
    def of(cls, source: EncoderFolder) -> NewEncoder:
        """Hash its files.

        Raises:
            ConfigError: a file is too large, or cannot be read.
        """
        content = _SPEC.dump_json(source.spec, indent=1) + b"\n"
        hashes = [
            _hash_file(path, most)
            for path, most in ((source.tokenizer, _MOST_TOKENIZER), (source.weights, MOST_WEIGHTS))
        ]
        return cls(source, content, digest_of(content, *hashes))

    def store(self, folder: Path) -> None:
        """Copy its files into a folder that exists."""
        (folder / SPEC).write_bytes(self.content)
        shutil.copyfile(self.source.tokenizer, folder / TOKENIZER)
        shutil.copyfile(self.source.weights, folder / WEIGHTS)


def digest_of(spec: bytes, tokenizer: str, weights: str) -> str:
    """The digest of an encoder by its description and the hashes of its other files."""
    parts = [hashlib.sha256(spec).hexdigest(), tokenizer, weights]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hash_file(path: Path, most: int) -> str:
    try:
        if (size := path.stat().st_size) > most:
            raise TooLargeError(f"it has {size:,} bytes, more than {most:,}")
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except (OSError, TooLargeError) as error:
        raise ConfigError(
            f"data.text.encoder: {path} cannot be used: {error}", remedy="Use another encoder"
        ) from error
