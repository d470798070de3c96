"""Signatures of bundles: what is refused before anything else is read, and the key files."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rayml.config.components.trust import SigningSettings, Trust
from rayml.errors import BundleError, ConfigError, RegistryError
from rayml.registry import release as releases
from rayml.registry.bundle.bundle import load_bundle, read_info
from rayml.registry.bundle.manifest import MANIFEST, verify, write_manifest
from rayml.registry.bundle.signing import (
    SEAL,
    make_key_pair,
    read_private_key,
    read_public_key,
    sign,
    signing_key,
)
from rayml.registry.store import Registry
from rayml.serve.predict.predictor import Predictor


@pytest.fixture
def private(tmp_path: Path) -> Path:
    make_key_pair(tmp_path / "key.pem")
    return tmp_path / "key.pem"


@pytest.fixture
def trust(private: Path) -> Trust:
    return Trust(signers=(read_public_key(Path(f"{private}.pub")),))


@pytest.fixture
def signed(bundle: Path, private: Path) -> Path:
    sign(bundle / MANIFEST, read_private_key(private))
    return bundle


def other_trust(folder: Path) -> Trust:
    return Trust(signers=(read_public_key(make_key_pair(folder / "other.pem")),))


def test_a_signed_bundle_is_read(signed: Path, trust: Trust, tmp_path: Path) -> None:
    assert load_bundle(signed, trust).info == load_bundle(signed).info == read_info(signed, trust)
    assert Predictor.load(signed, trust=trust).predict_rows([{"size": 1.0}])
    both = Trust(signers=(*other_trust(tmp_path).signers, *trust.signers))
    assert load_bundle(signed, both).digest == verify(signed)


def test_every_reader_refuses_a_bundle_that_is_not_signed(bundle: Path, trust: Trust) -> None:
    # What is wrong besides is not looked at.
    (bundle / "weights.safetensors").write_bytes(b"")
    (bundle / "bundle.json").write_text("{")
    for read in (load_bundle, read_info, lambda path, t: Predictor.load(path, trust=t)):
        with pytest.raises(BundleError, match=r"not signed \(no manifest\.sig\)"):
            read(bundle, trust)


def test_another_keys_signature_is_refused(signed: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="none of the 1 keys"):
        load_bundle(signed, other_trust(tmp_path))


def test_every_altered_byte_of_a_manifest_is_refused(signed: Path, trust: Trust) -> None:
    manifest = signed / MANIFEST
    original = manifest.read_bytes()
    for content in (original + b" ", original.replace(b'"format": 2', b'"format": 1'), b"{"):
        manifest.write_bytes(content)
        with pytest.raises(BundleError, match="none of the 1 keys"):
            read_info(signed, trust)


def test_an_altered_bundle_with_a_manifest_to_match_is_refused(signed: Path, trust: Trust) -> None:
    info = json.loads((signed / "bundle.json").read_text())
    info["model"]["width"] = 8
    (signed / "bundle.json").write_text(json.dumps(info))
    write_manifest(signed)
    load_bundle(signed)
    with pytest.raises(BundleError, match="none of the 1 keys"):
        load_bundle(signed, trust)


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "{}", '{"signature": 3}', '{"signature": "zz"}', '{"signature": "00"}'),
        '{"signature": "' + "00" * 64 + '"}',
        "[" * 10_000,
        " " * 100_000,
    ],
)
def test_a_torn_signature_is_refused(signed: Path, trust: Trust, content: str) -> None:
    (signed / SEAL).write_text(content)
    with pytest.raises(BundleError, match=r"manifest\.sig|none of the 1 keys"):
        load_bundle(signed, trust)


def test_a_linked_signature_is_refused(signed: Path, trust: Trust, tmp_path: Path) -> None:
    elsewhere = (signed / SEAL).rename(tmp_path / "elsewhere")
    (signed / SEAL).symlink_to(elsewhere)
    with pytest.raises(BundleError, match="link"):
        load_bundle(signed, trust)


def test_a_manifest_cannot_list_its_seal(bundle: Path) -> None:
    (bundle / SEAL).write_text("{}")
    write_manifest(bundle)
    manifest = json.loads((bundle / MANIFEST).read_text())
    assert SEAL not in manifest["files"]
    manifest["files"][SEAL] = {"size": 2, "sha256": "0" * 64}
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="inside its folder"):
        verify(bundle)


def test_a_registry_that_asks_for_signatures_takes_no_other(
    bundle: Path, signed: Path, trust: Trust, tmp_path: Path
) -> None:
    registry = Registry(tmp_path / "registry", trust)
    assert registry.register(signed) == 1
    (signed / SEAL).unlink()
    with pytest.raises(BundleError, match=r"not signed \(no manifest\.sig\)"):
        registry.register(bundle)
    Registry(registry.root).register(bundle)  # by somebody who may write the folder
    for transition in (
        lambda seen: releases.promote(seen, 2, "test"),
        lambda seen: releases.set_shadow(releases.promote(seen, 1, "test"), 2, "test"),
    ):
        with pytest.raises(BundleError, match=r"not signed \(no manifest\.sig\)"):
            registry.change_release("boxes", transition)
    with pytest.raises(BundleError, match=r"not signed \(no manifest\.sig\)"):
        registry.info("boxes", 2)
    assert registry.info("boxes", 1).name == "boxes"
    registry.change_release("boxes", lambda seen: releases.promote(seen, 1, "test"))
    with pytest.raises(RegistryError):
        registry.info("boxes", 3)


def test_key_files_are_made_once_and_the_private_one_for_its_owner(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        public = make_key_pair(tmp_path / "key.pem")
    finally:
        os.umask(before)
    assert public == tmp_path / "key.pem.pub"
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(public.stat().st_mode) == 0o644
    content = public.read_bytes()
    with pytest.raises(ConfigError, match=r"key\.pem\.pub cannot be written"):
        make_key_pair(tmp_path / "key.pem")
    assert public.read_bytes() == content
    with pytest.raises(ConfigError, match="cannot be written"):
        make_key_pair(tmp_path / "absent" / "key.pem")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_private_key_that_others_may_read_is_refused(private: Path, mode: int) -> None:
    private.chmod(mode)
    with pytest.raises(ConfigError, match=r"others may read .*key\.pem \(mode 0\d+\).* `chmod 600"):
        read_private_key(private)
    private.chmod(0o400)
    read_private_key(private)


def test_files_that_are_no_keys_are_refused(private: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    other = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    curve, torn = tmp_path / "curve.pem", tmp_path / "torn.pem"
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    curve.write_bytes(other.private_bytes(pem, *plain))
    torn.write_text("-----BEGIN PRIVATE KEY-----")
    for path in (curve, torn):
        path.chmod(0o600)
    for path in (curve, torn, tmp_path / "absent", tmp_path, Path(f"{private}.pub")):
        if path.is_file():
            path.chmod(0o600)
        with pytest.raises(ConfigError, match=path.name):
            read_private_key(path)
    public = tmp_path / "curve.pub"
    public.write_bytes(
        other.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    for path in (public, torn, private, tmp_path / "absent"):
        with pytest.raises(ConfigError, match=path.name):
            read_public_key(path)


def test_the_key_that_signs_is_one_that_verifies(private: Path, tmp_path: Path) -> None:
    own, other = f"{private}.pub", str(make_key_pair(tmp_path / "other.pem"))
    assert signing_key(SigningSettings()) is None
    assert signing_key(SigningSettings(private_key=str(private))) is not None
    assert signing_key(SigningSettings(private_key=str(private), public_keys=(other, own)))
    with pytest.raises(ConfigError, match="no key to sign with"):
        signing_key(SigningSettings(public_keys=(own,)))
    with pytest.raises(ConfigError, match="would be refused"):
        signing_key(SigningSettings(private_key=str(private), public_keys=(other,)))


def test_without_cryptography_only_signatures_are_missed(bundle: Path) -> None:
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from pathlib import Path\n"
        "from rayml.errors import ConfigError\n"
        "from rayml.registry.bundle.bundle import load_bundle\n"
        "from rayml.registry.bundle.signing import read_public_key\n"
        f"load_bundle(Path({str(bundle)!r}))\n"
        "try:\n    read_public_key(Path('x'))\n"
        "except ConfigError as error:\n    sys.exit('rayml[signing]' not in str(error))\n"
        "sys.exit(1)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
