"""Signed bundles: a seal is an ed25519 signature of the manifest, which has every file's SHA-256.

A seal says who made a bundle. It does not say which version to serve: the release says that, and
everyone who may write the registry can change the release.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayml.config.components.trust import SigningSettings
from rayml.errors import BundleError, ConfigError
from rayml.storage.bounded import TooLargeError, read_bounded

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SEAL = "manifest.sig"
_MOST_BYTES = 16 << 10
# Signed with the manifest, so that what the same key signs elsewhere is no seal of a bundle.
_CONTEXT = b"rayml bundle manifest 1\n"
_REMEDY = (
    "Register it with registry.signing.private_key=PATH, or add the public key of who signed it to"
    " registry.signing.public_keys"
)
_PUBLIC_REMEDY = (
    "Name the file .pub that `rayml keypair` wrote, as registry.signing.public_keys=[PATH.pub]"
)


def make_key_pair(private: Path) -> Path:
    """Write a new private key, readable by its owner alone, and its public key beside it.

    Returns:
        The file of the public key, `<private>.pub`.

    Raises:
        ConfigError: a file already exists or cannot be written, or a package is missing.
    """
    serialization, ed25519 = _cryptography()
    key = ed25519.Ed25519PrivateKey.generate()
    public = private.with_name(f"{private.name}.pub")
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    shown = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    try:
        for path, content, mode in ((public, shown, 0o644), (private, secret, 0o600)):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as out:
                os.fchmod(out.fileno(), mode)  # whatever the umask
                out.write(content)
    except OSError as error:
        raise ConfigError(
            f"the key {path} cannot be written ({error.strerror})",
            remedy="Name another file: registry.signing.private_key=PATH",
        ) from error
    return public


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Read the key that signs.

    Raises:
        ConfigError: the file cannot be read, holds no ed25519 key, or others may read it.
    """
    serialization, ed25519 = _cryptography()
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise ConfigError(
                f"others may read the private key {path} (mode {mode:04o})",
                remedy=f"Make a new one, or run `chmod 600 {path}` if nobody has read it",
            )
        key = serialization.load_pem_private_key(read_bounded(path, _MOST_BYTES), None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"the private key {path} cannot be read ({error})",
            remedy="Make one with `rayml keypair registry.signing.private_key=PATH`",
        ) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ConfigError(
            f"the private key {path} is no ed25519 key",
            remedy="Make one with `rayml keypair registry.signing.private_key=PATH`",
        )
    found: Ed25519PrivateKey = key
    return found


def signing_key(settings: SigningSettings) -> Ed25519PrivateKey | None:
    """The key that signs what is registered; None where nothing is signed.

    Raises:
        ConfigError: the key cannot be read, `public_keys` does not accept what it signs, or
            `public_keys` is set and there is no key.
    """
    if settings.private_key is None:
        if not settings.public_keys:
            return None
        raise ConfigError(
            "registry.signing.public_keys refuses bundles that are not signed, and there is no key"
            " to sign with",
            remedy="Add registry.signing.private_key=PATH",
        )
    key = read_private_key(Path(settings.private_key))
    known = [read_public_key(Path(each)) for each in settings.public_keys]
    if known and key.public_key().public_bytes_raw() not in known:
        raise ConfigError(
            f"the public key of {settings.private_key} is not in registry.signing.public_keys, so"
            " what it signs would be refused",
            remedy=f"Add {settings.private_key}.pub to registry.signing.public_keys",
        )
    return key


def read_public_key(path: Path) -> bytes:
    """Read the raw bytes of a public key.

    Raises:
        ConfigError: the file cannot be read, or holds no ed25519 key.
    """
    serialization, ed25519 = _cryptography()
    try:
        key = serialization.load_pem_public_key(read_bounded(path, _MOST_BYTES))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"the public key {path} cannot be read ({error})",
            remedy=_PUBLIC_REMEDY,
        ) from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise ConfigError(f"the public key {path} is no ed25519 key", remedy=_PUBLIC_REMEDY)
    return bytes(key.public_bytes_raw())


def sign(manifest: Path, key: Ed25519PrivateKey) -> None:
    """Write the seal of a manifest beside it, in place of an older one."""
    text = json.dumps(
        {
            "format": 1,
            "key": key.public_key().public_bytes_raw().hex(),
            "signature": key.sign(_CONTEXT + manifest.read_bytes()).hex(),
        }
    )
    part = manifest.with_name(f".{SEAL}.part")
    with part.open("w", encoding="utf-8") as out:
        out.write(text + "\n")
        out.flush()
        os.fsync(out.fileno())
    part.replace(manifest.with_name(SEAL))


def require_signed(manifest: bytes, folder: Path, signers: Sequence[bytes]) -> None:
    """Check that one of some keys has signed a manifest.

    Args:
        manifest: content of the manifest.
        folder: folder of the bundle, with its seal.
        signers: raw public keys; where the list is empty, no seal is needed.

    Raises:
        BundleError: the seal is absent, torn, another key's, or of another manifest.
    """
    if not signers:
        return
    signature = _read(folder)
    from cryptography.exceptions import InvalidSignature

    _, ed25519 = _cryptography()
    for each in signers:
        try:
            ed25519.Ed25519PublicKey.from_public_bytes(each).verify(signature, _CONTEXT + manifest)
        except InvalidSignature:
            continue
        return
    raise BundleError(
        f"none of the {len(signers)} keys of registry.signing.public_keys has signed this bundle",
        found=str(folder / SEAL),
        remedy=_REMEDY,
    )


def _read(folder: Path) -> bytes:
    path = folder / SEAL
    try:
        if path.is_symlink():
            raise ValueError("it is a link")
        content = json.loads(read_bounded(path, _MOST_BYTES))
        return bytes.fromhex(content["signature"])
    except FileNotFoundError as error:
        raise BundleError(
            f"the bundle is not signed (no {SEAL}), and registry.signing.public_keys refuses that",
            found=str(folder),
            remedy=_REMEDY,
        ) from error
    except (OSError, TooLargeError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(
            f"{SEAL} of the bundle cannot be read ({error})",
            found=str(path),
            remedy=_REMEDY,
        ) from error


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise ConfigError(
            "signing and verifying bundles needs the package cryptography, which is not installed",
            remedy="Run `pip install 'rayml[signing]'`",
        ) from error
    return serialization, ed25519
