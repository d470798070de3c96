"""What a command trusts of the files that it reads, as its config and its command line say."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rayml.config.components.trust import SigningSettings, Trust, TrustSettings


def trust_of(
    settings: TrustSettings,
    signing: SigningSettings,
    *,
    folders: Iterable[str] = (),
    stores: Iterable[str] = (),
    written: Iterable[str] = (),
) -> Trust:
    """Make the trust of a command.

    Args:
        settings: the modules that the operator allows.
        signing: the keys of which one must have signed a bundle.
        folders: of the user's projects; trusted unless `settings.modules` says what is.
        stores: folders that hold what comes from others, of which no code is trusted.
        written: components that the user named in this command, not read from a file of a run.

    Raises:
        ConfigError: a key cannot be read.
    """
    signers: tuple[bytes, ...] = ()
    if signing.public_keys:
        from rayml.registry.bundle.signing import read_public_key

        signers = tuple(read_public_key(Path(each)) for each in signing.public_keys)
    return Trust(
        modules=settings.modules or (),
        folders=tuple(folders) if settings.modules is None else (),
        stores=tuple(map(str, stores)),
        targets=frozenset(written),
        signers=signers,
    )
