"""Bundles made to hurt, with sizes and hashes that are right: each is refused by its file's name.

The process that refuses them may take 1 GiB of memory above what it has.
"""

from __future__ import annotations

import json
import resource
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rayml.errors import BundleError
from rayml.registry.bundle.manifest import MANIFEST, write_manifest
from rayml.registry.store import Registry
from rayml.serve.predict.predictor import Predictor
from tests.config.components.targets import TRICKS, standard_library

MLP = "rayml.models.nets.mlp.MLP"


@pytest.fixture
def little_memory() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def change(folder: Path, name: str, edit: Callable[[Any], Any]) -> None:
    """Change a JSON file of a bundle, and make the manifest fit."""
    path = folder / name
    content = json.loads(path.read_text())
    content = edit(content) or content
    path.write_text(json.dumps(content))
    write_manifest(folder)


def put(place: str, value: object) -> Callable[[Any], Any]:
    """An edit that puts a value at a dotted place."""

    def edit(content: Any) -> None:
        *path, last = [int(part) if part.isdigit() else part for part in place.split(".")]
        for part in path:
            content = content[part]
        content[last] = value

    return edit


def header(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Change the header of the weights, and make the manifest fit."""
    path = folder / "weights.safetensors"
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    tensors = json.loads(content[8 : 8 + length])
    edit(tensors)
    text = json.dumps(tensors).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    write_manifest(folder)


JSON = {
    "a model's width": ("bundle.json", put("model.width", 10**9), "weights.safetensors"),
    "its depth": ("bundle.json", put("model.depth", 10**9), "weights.safetensors"),
    "its embedding": ("bundle.json", put("model.embedding", 10**9), "weights.safetensors"),
    "a width beyond 64 bits": ("bundle.json", put("model.width", 10**40), "bundle.json"),
    "a width of text": ("bundle.json", put("model.width", "8"), "bundle.json"),
    "a width that is a flag": ("bundle.json", put("model.width", True), "bundle.json"),
    "an unknown argument": ("bundle.json", put("model.hooks", "x"), "bundle.json"),
    "an argument of rayml's": ("bundle.json", put("model.outputs", 10**9), "bundle.json"),
    "its shape": ("bundle.json", put("model.shape", [1]), "bundle.json"),
    "a long argument": ("bundle.json", put("model.width", [0] * 20_000), "bundle.json"),
    "members": ("bundle.json", put("ensemble", 10**12), "bundle.json"),
    "members that are not there": ("bundle.json", put("ensemble", 3), "weights"),
    "a target that is a list": ("bundle.json", put("model._target_", ["os.system"]), "bundle.json"),
    "a model that is a list": ("bundle.json", put("model", ["os.system"]), "bundle.json"),
    "no model": ("bundle.json", put("model", {}), "bundle.json"),
    "another key": ("bundle.json", put("hooks", {"_target_": "os.system"}), "bundle.json"),
    "a node for a name": ("bundle.json", put("name", {"_target_": "os.system"}), "bundle.json"),
    "a node for a metric": ("bundle.json", put("metrics.test.x", {"_target_": "a.b"}), "bundle"),
    "a node in the lineage": ("lineage.json", put("seed", {"_target_": "os.system"}), "lineage"),
    "a node for a column": ("signature.json", put("inputs.0", {"_target_": "a.b"}), "signature"),
    "classes of the signature": (
        "signature.json",
        put("target.classes", list(range(100_000))),
        "signature.json",
    ),
    "cardinality": (
        "preprocessor/preprocessor.json",
        put("categorical.0.missing", 10**9),
        "preprocessor.json",
    ),
    "categories that are a node": (
        "preprocessor/preprocessor.json",
        put("categorical.0.categories", {"_target_": "os.system"}),
        "preprocessor.json",
    ),
    "more categories": (
        "preprocessor/preprocessor.json",
        put("categorical.0.categories", [str(n) for n in range(200_000)]),
        "weights.safetensors",
    ),
    "more columns": (
        "preprocessor/preprocessor.json",
        put("schema.columns", [{"name": str(n), "kind": "numeric"} for n in range(1000)]),
        "preprocessor.json",
    ),
    "quantiles": (
        "preprocessor/preprocessor.json",
        put("numeric.0", {"name": "size", "points": list(range(20_000)), "scores": [0.0]}),
        "preprocessor.json",
    ),
    "quantiles without scores": (
        "preprocessor/preprocessor.json",
        put("numeric.0", {"name": "size", "points": [0.0, 1.0], "scores": [0.0]}),
        "preprocessor.json",
    ),
    "a scale of text": (
        "preprocessor/preprocessor.json",
        put("numeric.0.scale", "1"),
        "preprocessor.json",
    ),
    "a column twice": (
        "preprocessor/preprocessor.json",
        lambda state: state["numeric"].append(state["numeric"][0]),
        "preprocessor.json",
    ),
    "an indicator of nothing": (
        "preprocessor/preprocessor.json",
        put("indicators", ["nothing"]),
        "preprocessor.json",
    ),
    "a list for a state": ("preprocessor/preprocessor.json", lambda _: [1], "preprocessor.json"),
    "a node for a state": (
        "preprocessor/preprocessor.json",
        put("target", {"_target_": "os.system"}),
        "preprocessor.json",
    ),
    "another target": (
        "preprocessor/preprocessor.json",
        put("target.classes", ["low", "high", "x"]),
        "preprocessor.json",
    ),
}


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("what", JSON)
def test_what_json_declares_is_bounded(bundle: Path, what: str) -> None:
    name, edit, told = JSON[what]
    change(bundle, name, edit)
    with pytest.raises(BundleError, match=told):
        Predictor.load(bundle)


WEIGHTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a larger shape": put("head_weight.shape", [10**9, 16]),
    "another shape of the same size": put("head_weight.shape", [16, 1]),
    "a negative shape": put("head_weight.shape", [-1, -16]),
    "a shape of text": put("head_weight.shape", ["1", 16]),
    "a shape that is none": put("head_weight.shape", None),
    "many dimensions": put("head_weight.shape", [1] * 10_000),
    "nothing of a huge shape": put("new", {"dtype": "F32", "shape": [2**40, 0, 2**20]}),
    "offsets beyond the file": put("head_weight.data_offsets", [0, 10**15]),
    "offsets that go back": put("head_weight.data_offsets", [64, 0]),
    "the offsets of another": put("head_bias.data_offsets", [0, 4]),
    "an unknown type": put("head_weight.dtype", "OBJECT"),
    "a tensor that is a list": put("head_weight", []),
    "a node for a tensor": put("head_weight", {"_target_": "os.system"}),
    "a tensor more": put("new", {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}),
    "a tensor less": lambda tensors: tensors.pop("head_bias"),
}


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("what", WEIGHTS)
def test_what_weights_declare_is_bounded(bundle: Path, what: str) -> None:
    def edit(tensors: dict[str, Any]) -> None:
        dots = {key.replace(".", "_"): key for key in tensors}
        for short, key in dots.items():
            tensors[short] = tensors.pop(key)
        WEIGHTS[what](tensors)
        if what == "nothing of a huge shape":
            tensors["new"]["data_offsets"] = [0, 0]
        for short, key in dots.items():
            if short in tensors:
                tensors[key] = tensors.pop(short)

    header(bundle, edit)
    with pytest.raises(BundleError, match=r"weights\.safetensors"):
        Predictor.load(bundle)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 8, b"\xff" * 100, b"\x02" + b"\0" * 7])
def test_a_header_that_is_none_is_refused(bundle: Path, content: bytes) -> None:
    (bundle / "weights.safetensors").write_bytes(content)
    write_manifest(bundle)
    with pytest.raises(BundleError, match=r"weights\.safetensors"):
        Predictor.load(bundle)


FILES = [
    "bundle.json",
    "lineage.json",
    "signature.json",
    "preprocessor/preprocessor.json",
    "preprocessor/profile.json",
]


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("name", FILES)
def test_json_files_are_bounded_in_size_and_depth(bundle: Path, name: str) -> None:
    path = bundle / name
    with path.open("wb") as out:
        out.truncate(1 << 29)  # it takes no room on the disk
    write_manifest(bundle)
    with pytest.raises(BundleError, match=f"{path.name}.*bytes, more than"):
        Predictor.load(bundle)
    for content in ("[" * 100_000, "{", "", "\xff", "3", "null"):
        path.write_text(content)
        write_manifest(bundle)
        with pytest.raises(BundleError, match=path.name):
            Predictor.load(bundle)


@pytest.mark.usefixtures("little_memory")
def test_a_manifest_is_bounded(bundle: Path) -> None:
    manifest = bundle / MANIFEST
    content = json.loads(manifest.read_text())
    record = {"size": 0, "sha256": "0" * 64}
    many = {**content, "files": {str(n): record for n in range(2000)}}
    huge = content["files"] | {"bundle.json": {"size": 10**30, "sha256": "0" * 64}}
    for files, told in ((many["files"], "names 2,000 files"), (huge, r"bundle\.json|manifest")):
        manifest.write_text(json.dumps({**content, "files": files}))
        with pytest.raises(BundleError, match=told):
            Predictor.load(bundle)
    with manifest.open("wb") as out:
        out.truncate(1 << 29)
    with pytest.raises(BundleError, match=r"manifest\.json.*more than"):
        Predictor.load(bundle)


def test_folders_are_bounded(bundle: Path) -> None:
    deep = bundle.joinpath(*["d"] * 20)
    deep.mkdir(parents=True)
    with pytest.raises(BundleError, match="levels"):
        Predictor.load(bundle)
    for path in [deep, *deep.parents][:20]:
        path.rmdir()
    for number in range(1100):
        (bundle / f"{number}.json").touch()
    with pytest.raises(BundleError, match="more than 1,000 files"):
        Predictor.load(bundle)


def test_whatever_can_be_imported_is_not_called_in_place_of_a_model_or_inside_it(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*values: object, **more: object) -> None:
        pytest.fail(f"it ran: {values}")

    monkeypatch.setattr("rayml.config.components.trusted.import_module", refuse)
    monkeypatch.setattr("rayml.config.components.trusted.build", refuse)
    targets = [*standard_library()[::400], *TRICKS, "os.system", "builtins.exec", "subprocess.run"]
    for target in targets:
        node = {"_target_": target, "command": "id"}
        for place, value in (("model", node), ("model", {"_target_": MLP, "width": node})):
            change(bundle, "bundle.json", put(place, value))
            with pytest.raises(BundleError, match=r"bundle\.json"):
                Predictor.load(bundle)


def test_aliases_and_releases_hold_no_nodes(bundle: Path, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    registry.register(bundle)
    folder = registry.folder("boxes")
    node = {"_target_": "os.system", "command": "id"}
    for content in ({"champion": node}, node, [node], "[" * 100_000, " " * (2 << 20)):
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / "aliases.json").write_text(text)
        with pytest.raises(Exception, match="no JSON object of version numbers"):
            registry.resolve("boxes", "champion")
    (folder / "aliases.json").unlink()
    for content in (node, {"format": 1, "champion": node}, {"format": node}, " " * (2 << 20)):
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / "release.json").write_text(text)
        with pytest.raises(Exception, match=r"release"):
            registry.resolve("boxes", "champion")
