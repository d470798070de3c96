"""Folders of encoders that cannot be used, and hostile ones, are refused before they cost."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from rayml.data.text.encoder import TextEncoder
from rayml.data.text.folder import read_folder
from rayml.data.text.stored import NewEncoder, StoredEncoder
from rayml.errors import ConfigError, DataError
from tests.data.text import tiny

pytest.importorskip("tokenizers")


def changed(path: Path, change: Callable[[Any], Any]) -> None:
    value = json.loads(path.read_text())
    path.write_text(json.dumps(change(value) or value))


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def pickled(folder: Path) -> None:
    without_weights(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))


def declaring(shape: list[int], kind: str = "F32") -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        tensor = {"dtype": kind, "shape": shape, "data_offsets": [0, 4]}
        header = json.dumps({"embeddings.word_embeddings.weight": tensor}).encode()
        content = struct.pack("<Q", len(header)) + header + bytes(4)
        (folder / "model.safetensors").write_bytes(content)

    return write


def config(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: changed(folder / "config.json", lambda value: value | changes)


def modules(*parts: tuple[str, str]) -> Callable[[Path], None]:
    listed = [{"idx": i, "path": path, "type": f"x.{kind}"} for i, (kind, path) in enumerate(parts)]
    return lambda folder: tiny.write_json(folder / "modules.json", listed)


REFUSED = {
    "no weights": (without_weights, "it has no model.safetensors"),
    "a pickle": (pickled, "are a pickle, pytorch_model.bin"),
    "no tokenizer": (
        lambda folder: (folder / "tokenizer.json").unlink(),
        "has no tokenizer.json",
    ),
    "code of its own": (config(auto_map={"AutoModel": "x.Y"}), "sets auto_map to"),
    "another model": (config(model_type="nomic_bert"), "its model_type is 'nomic_bert'"),
    "relative positions": (
        config(position_embedding_type="relative_key"),
        "position_embedding_type",
    ),
    "more bytes than there are": (declaring([2**40, 2**20]), "model.safetensors cannot be read"),
    "a dense part": (modules(("Transformer", ""), ("Dense", "1")), "lists Transformer, Dense"),
    "a folder outside": (modules(("Transformer", "../x"), ("Pooling", "1")), "outside of it"),
    "an unknown activation": (config(hidden_act="swiglu"), "KeyError: 'swiglu'"),
    "layers without end": (config(num_hidden_layers=10**9), "less than or equal to 128"),
    "a width of text": (config(hidden_size="32"), None),
    "no JSON": (
        lambda folder: (folder / "config.json").write_text("{"),
        "config.json cannot be read",
    ),
    "deep JSON": (
        lambda folder: (folder / "config.json").write_text("[" * 100_000),
        "config.json cannot be read",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_folder_that_cannot_be_used_is_refused(case: str, tmp_path: Path) -> None:
    spoil, expected = REFUSED[case]
    folder = tiny.hugging_face(tmp_path / "encoder")
    spoil(folder)
    if expected is None:  # a number as text is the number
        assert read_folder(folder, 10).spec.width == 32
        return
    with pytest.raises(ConfigError, match=r"data.text.encoder: ") as caught:
        read_folder(folder, 10)
    assert expected in str(caught.value)


def test_an_absent_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no folder .*not downloaded"):
        read_folder(tmp_path / "sentence-transformers/all-MiniLM-L6-v2", 10)


def stored(tmp_path: Path, spoil: Callable[[Path], None]) -> StoredEncoder:
    folder = tiny.hugging_face(tmp_path / "encoder")
    spoil(folder)
    new = NewEncoder.of(read_folder(folder, 10))
    (tmp_path / "stored").mkdir()
    new.store(tmp_path / "stored")
    return StoredEncoder(tmp_path / "stored", new.digest)


def tokens(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: changed(folder / "tokenizer.json", lambda value: value | changes)


def random_tokens(folder: Path) -> None:
    changed(folder / "tokenizer.json", lambda value: value["model"].update(dropout=0.5))


def other_heads(folder: Path) -> None:
    config(num_attention_heads=5)(folder)


def other_width(folder: Path) -> None:
    config(intermediate_size=128)(folder)


def more_words(folder: Path) -> None:
    changed(folder / "tokenizer.json", lambda value: value["model"]["vocab"].update(more=10**6))


def whole_numbers(folder: Path) -> None:
    tensors = tiny.bert_tensors()
    tensors["encoder.layer.0.output.dense.weight"] = torch.ones(
        tiny.WIDTH, tiny.INNER, dtype=torch.int32
    )
    save_file(tensors, folder / "model.safetensors")


PATTERN = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
TORN = {
    "random tokens": (random_tokens, "its tokens are random"),
    "a slow pattern": (tokens(pre_tokenizer=PATTERN), "the regular expression '(a+)+$'"),
    "no tokenizer": (
        lambda folder: (folder / "tokenizer.json").write_text("[]"),
        "it has no model",
    ),
    "an unknown part": (tokens(normalizer={"type": "Python"}), "it cannot be read"),
    "more words": (more_words, "it has the token 1000000"),
    "heads": (other_heads, "do not go together"),
    "another width": (other_width, "has the shape (64, 32), not (128, 32)"),
    "whole numbers": (whole_numbers, "is of torch.int32"),
}


@pytest.mark.parametrize("case", TORN)
def test_an_encoder_whose_parts_do_not_fit_is_refused_when_it_is_loaded(
    case: str, tmp_path: Path
) -> None:
    spoil, expected = TORN[case]
    with pytest.raises(DataError, match=r"the encoder of texts .* cannot be used") as caught:
        stored(tmp_path, spoil).load()
    assert expected in str(caught.value)


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    def spoil(folder: Path) -> None:
        tensors = tiny.bert_tensors()
        tensors["embeddings.word_embeddings.weight"][:] = torch.inf
        save_file(tensors, folder / "model.safetensors")

    with pytest.raises(DataError, match="gives a vector that is not finite"):
        stored(tmp_path, spoil).load().encode(["good"])


@pytest.mark.parametrize("name", ["encoder.json", "tokenizer.json", "model.safetensors"])
def test_a_file_that_changed_is_refused(name: str, tmp_path: Path) -> None:
    encoder = stored(tmp_path, lambda _: None)
    path = encoder.folder / name
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1) + b" ")
    with pytest.raises(DataError, match="cannot be used"):
        # Not by its digest, by which another test of this process may have loaded it.
        encoder._made()


def test_a_link_and_a_copy_are_the_same_encoder(tmp_path: Path) -> None:
    encoder = stored(tmp_path, lambda _: None)
    encoder.save(tmp_path / "linked")
    assert (tmp_path / "linked/model.safetensors").samefile(encoder.folder / "model.safetensors")
    again = StoredEncoder(tmp_path / "linked", encoder.digest)
    assert isinstance(again._made(), TextEncoder)
    assert again.spec() == encoder.spec()
