"""Makes the key files that sign bundles."""

from __future__ import annotations

from pathlib import Path

from rayml.errors import ConfigError
from rayml.registry.bundle.signing import make_key_pair
from rayml.stages.commands import show
from rayml.stages.context import Context


def write_key_pair(context: Context) -> None:
    """Write a new private key and its public key.

    Raises:
        ConfigError: no file is named, the file exists or it cannot be written.
    """
    private = context.config.registry.signing.private_key
    if private is None:
        raise ConfigError(
            "`rayml keypair` names no file for the private key",
            remedy="Use `rayml keypair registry.signing.private_key=PATH`",
        )
    public = make_key_pair(Path(private))
    show.line(f"wrote the private key {private}; keep it where bundles are registered")
    show.line(f"wrote the public key {public}; use it as registry.signing.public_keys=[{public}]")
