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
        ConfigError: no file is named, it is there already or cannot be written.
    """
    private = context.config.registry.signing.private_key
    if private is None:
        raise ConfigError(
            "no file is named for the private key",
            remedy="Use `rayml keypair registry.signing.private_key=PATH`",
        )
    public = make_key_pair(Path(private))
    show.line(f"wrote {private}, which signs: keep it where bundles are registered")
    show.line(f"wrote {public}, which verifies: registry.signing.public_keys=[{public}]")
