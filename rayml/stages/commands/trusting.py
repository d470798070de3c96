"""Makes the trust of a command from its config and its command line."""

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
        signing: the keys; one of them must have signed a bundle.
        folders: of the user's projects; trusted unless `settings.modules` lists the modules.
        stores: folders of files from others, whose code is not trusted.
        written: components that the user named in this command.

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
