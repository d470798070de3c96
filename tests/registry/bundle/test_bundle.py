"""A bundle round-trips, and whatever is done to one of its files is refused with its name."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from rayml.data.delimited.dialect import CsvSettings
from rayml.errors import BundleError
from rayml.registry.bundle.bundle import load_bundle, write_bundle
from rayml.registry.bundle.card import model_card
from rayml.registry.bundle.group import GroupState
from rayml.registry.bundle.info import BundleInfo, ConfirmedMetric
from rayml.registry.bundle.manifest import write_manifest
from rayml.registry.bundle.signature import InputColumn, Signature
from rayml.types import TargetInfo

FILES = [
    "MODEL_CARD.md",
    "bundle.json",
    "lineage.json",
    "signature.json",
    "weights.safetensors",
]


def all_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_bundle_holds_what_was_written(pristine: Path, tmp_path: Path) -> None:
    first = load_bundle(pristine)
    copy = write_bundle(
        tmp_path / "deep" / "copy",
        info=first.info,
        signature=first.signature,
        lineage=first.lineage,
        preprocessor=first.preprocessor(),
        groups=[GroupState(first.groups[0].weights())],
    )
    second = load_bundle(copy)
    assert (second.info, second.signature, second.lineage) == (
        first.info,
        first.signature,
        first.lineage,
    )
    assert second.preprocessor().profile() == first.preprocessor().profile()
    assert second.digest == first.digest
    assert all(
        torch.equal(second.groups[0].weights()[key], value)
        for key, value in first.groups[0].weights().items()
    )


def test_its_files_are_plain(pristine: Path) -> None:
    names = {path.name for path in all_files(pristine)}
    assert {*FILES, "manifest.json"} <= names
    assert {Path(name).suffix for name in names} <= {".json", ".md", ".safetensors", ".arrow"}


def test_every_altered_file_is_named(pristine: Path, bundle: Path) -> None:
    # What a manifest must be has a test of its own.
    for path in set(all_files(bundle)) - {bundle / "manifest.json"}:
        original = path.read_bytes()
        assert original
        flipped = bytes([original[0] ^ 1]) + original[1:]
        for content in (flipped, original + b" ", original[:-1], b""):
            path.write_bytes(content)
            with pytest.raises(BundleError, match=path.name):
                load_bundle(bundle)
        path.write_bytes(original)
    assert load_bundle(bundle).digest == load_bundle(pristine).digest


def test_every_missing_file_is_named(bundle: Path) -> None:
    for path in all_files(bundle):
        original = path.read_bytes()
        path.unlink()
        with pytest.raises(BundleError, match=path.name):
            load_bundle(bundle)
        path.write_bytes(original)


@pytest.mark.parametrize("name", ["extra.json", "preprocessor/extra.bin", ".hidden"])
def test_an_extra_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).write_text("{}")
    with pytest.raises(BundleError, match=Path(name).name):
        load_bundle(bundle)


def test_a_link_is_refused_even_to_the_same_content(bundle: Path, tmp_path: Path) -> None:
    weights = bundle / "weights.safetensors"
    elsewhere = weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(elsewhere)
    with pytest.raises(BundleError, match=r"weights\.safetensors is a link"):
        load_bundle(bundle)


def test_a_linked_folder_is_refused(bundle: Path, tmp_path: Path) -> None:
    elsewhere = (bundle / "preprocessor").rename(tmp_path / "elsewhere")
    (bundle / "preprocessor").symlink_to(elsewhere)
    with pytest.raises(BundleError, match=r"preprocessor is a link"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/../../b", "a//b", "./a", "a\\b", "manifest.json", "."]
)
def test_a_manifest_cannot_name_a_file_outside(bundle: Path, name: str) -> None:
    manifest = bundle / "manifest.json"
    content = json.loads(manifest.read_text())
    content["files"][name] = {"size": 1, "sha256": "0" * 64}
    manifest.write_text(json.dumps(content))
    with pytest.raises(BundleError, match="inside its folder"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "not JSON with a format"),
        ("{", "not JSON with a format"),
        ('{"format": 99, "files": {}}', "Upgrade rayml"),
        ('{"format": 1, "files": {"a": {"size": -1, "sha256": ""}}}', "cannot be read"),
        ('{"format": 1, "files": {}, "more": 1}', "cannot be read"),
        ("[" * 100_000, "not JSON with a format"),
    ],
)
def test_a_manifest_that_is_none_is_refused(bundle: Path, content: str, message: str) -> None:
    (bundle / "manifest.json").write_text(content)
    with pytest.raises(BundleError, match=message):
        load_bundle(bundle)


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(BundleError, match=r"manifest\.json"):
            load_bundle(folder)


def test_a_bundle_is_written_once_and_completely(bundle: Path, tmp_path: Path) -> None:
    opened = load_bundle(bundle)
    parts = {
        "info": opened.info,
        "signature": opened.signature,
        "lineage": opened.lineage,
        "preprocessor": opened.preprocessor(),
    }
    with pytest.raises(BundleError, match="written once"):
        write_bundle(bundle, groups=[GroupState(opened.groups[0].weights())], **parts)
    target = tmp_path / "new" / "bundle"
    with pytest.raises(AttributeError):
        write_bundle(target, groups=[GroupState({"w": None})], **parts)  # type: ignore[dict-item]
    assert list(target.parent.iterdir()) == []


def test_a_bundle_of_the_first_format_still_loads(bundle: Path) -> None:
    """It had no key of ensembles and confirmations."""
    now = load_bundle(bundle)
    for name, keys in {
        "bundle.json": ["ensemble", "confirmed"],
        "lineage.json": ["members"],
    }.items():
        content = json.loads((bundle / name).read_text())
        for key in keys:
            del content[key]
        (bundle / name).write_text(json.dumps(content))
    (bundle / "manifest.json").unlink()
    write_manifest(bundle)
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["format"] == 2
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "format": 1}))
    old = load_bundle(bundle)
    assert (old.info, old.signature, old.lineage) == (now.info, now.signature, now.lineage)
    assert old.info.ensemble is None
    assert old.groups[0].weights().keys() == now.groups[0].weights().keys()


def test_an_ensemble_is_one_file_of_stacked_weights(make_bundle: Callable[..., Path]) -> None:
    opened = load_bundle(make_bundle("m", ensemble=3))
    assert opened.info.ensemble == 3
    assert opened.lineage.members == (0, 1, 2)
    weights = opened.groups[0].weights()
    assert weights["head.weight"].shape == (3, 1, 16)
    assert not torch.equal(weights["head.weight"][0], weights["head.weight"][1])
    card = (opened.folder / "MODEL_CARD.md").read_text()
    assert "an ensemble of 3 models" in card
    assert "seeds 0, 1, 2" in card


def test_weights_that_are_not_stacked_are_no_ensembles(
    make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    opened = load_bundle(make_bundle("m", ensemble=3))
    folder = write_bundle(
        tmp_path / "two",
        info=dataclasses.replace(opened.info, ensemble=2),
        signature=opened.signature,
        lineage=opened.lineage,
        preprocessor=opened.preprocessor(),
        groups=[GroupState(opened.groups[0].weights())],
    )
    with pytest.raises(BundleError, match="first dimension of 2 members"):
        load_bundle(folder).groups[0].weights()


def test_the_card_tells_what_the_configuration_is_worth(pristine: Path) -> None:
    opened = load_bundle(pristine)
    assert "trained with one seed" in model_card(opened.info, opened.signature, opened.lineage)
    worth = ConfirmedMetric(seeds=5, mean=0.75, low=0.7, high=0.8)
    info = dataclasses.replace(opened.info, confirmed=worth)
    card = model_card(info, opened.signature, opened.lineage)
    assert "over 5 seeds" in card
    assert "0.75 on validation (95 % bootstrap interval 0.7 to 0.8)" in card


def test_a_metric_that_is_no_number_becomes_null() -> None:
    info = BundleInfo(
        name="m",
        model={"_target_": "a.b"},
        metric="auroc",
        direction="maximize",
        metrics={"validation": {"auroc": float("nan"), "loss": 0.5}},
    )
    text = TypeAdapter(BundleInfo).dump_json(info)
    assert TypeAdapter(BundleInfo).validate_json(text).metrics == {
        "validation": {"auroc": None, "loss": 0.5}
    }


finite = st.floats(allow_nan=False, allow_infinity=False)
columns = st.builds(
    InputColumn,
    name=st.text(),
    kind=st.sampled_from(["numeric", "categorical", "boolean", "timestamp"]),
    categories=st.lists(st.text(), max_size=3).map(tuple),
    minimum=st.none() | finite,
    maximum=st.none() | finite,
    example=st.none() | st.text() | finite | st.booleans(),
)
targets = st.builds(
    TargetInfo,
    name=st.text(),
    task=st.sampled_from(["binary", "multiclass", "regression"]),
    classes=st.lists(st.text() | st.integers() | st.booleans(), max_size=3).map(tuple),
    mean=finite,
    scale=finite,
)


dialects = st.builds(
    CsvSettings,
    delimiter=st.sampled_from(";\t|"),
    quote=st.none() | st.just("'"),
    columns=st.none() | st.lists(st.text()).map(tuple),
    nulls=st.lists(st.text()).map(tuple),
    decimal=st.sampled_from(".,"),
)


@given(
    st.builds(
        Signature,
        inputs=st.lists(columns, max_size=3).map(tuple),
        target=targets,
        csv=st.none() | dialects,
    )
)
def test_a_signature_survives_json_exactly(signature: Signature) -> None:
    adapter = TypeAdapter(Signature)
    again = adapter.validate_json(adapter.dump_json(signature))
    assert again == signature
    # Equality alone would let True pass for 1.
    assert repr(again) == repr(signature)


@pytest.mark.parametrize("name", ["weights.safetensors", "preprocessor/profile.json"])
def test_a_file_that_changes_after_it_was_verified_is_not_used(bundle: Path, name: str) -> None:
    opened = load_bundle(bundle)
    file = bundle / name
    content = file.read_bytes()
    file.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    with pytest.raises(BundleError, match=f"{name} of the bundle was altered"):
        opened.groups[0].weights() if name.startswith("weights") else opened.preprocessor()


def test_weights_do_not_follow_a_file_that_is_overwritten(bundle: Path) -> None:
    opened = load_bundle(bundle)
    weights = opened.groups[0].weights()
    before = {name: each.clone() for name, each in weights.items()}
    with (bundle / "weights.safetensors").open("r+b") as file:
        file.write(bytes((bundle / "weights.safetensors").stat().st_size))
    assert all(torch.equal(weights[name], each) for name, each in before.items())
