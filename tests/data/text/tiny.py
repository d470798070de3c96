"""Folders of tiny encoders, in the formats in which encoders are published."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

WORDS = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]"),
    *"abcdefghijklmnopqrstuvwxyz!?.",
    *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"),
    *("good", "bad", "the", "food", "is", "was", "very", "not", "slow", "café", "##ing"),
)
TEXTS = (
    "good food",
    "bad food!",
    "the food is not very good",
    "Slow. SLOW. slow?",
    "a" * 300,
    "food " * 200,
    "😀 ünïcödé \u202e\u0000 日本語",
    "e\u0301 café",
    "\ufffd\uffff",
    "x",
)
"""Texts of many lengths and alphabets."""

WIDTH, HEADS, INNER, LAYERS, POSITIONS = 32, 4, 64, 2, 40
MODULES = ("sentence_transformers.models.{}", ("Transformer", "Pooling", "Normalize"))


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def tokenizer(special: bool = True) -> dict[str, Any]:
    """A tokenizer of word pieces, as BERT has it."""
    places = {word: place for place, word in enumerate(WORDS)}
    ends = {
        name: {"id": name, "ids": [places[name]], "tokens": [name]} for name in ("[CLS]", "[SEP]")
    }
    first, last = ({"SpecialToken": {"id": name, "type_id": 0}} for name in ends)
    text = {"Sequence": {"id": "A", "type_id": 0}}
    cut = {"max_length": 5, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    return {
        "version": "1.0",
        "truncation": cut if special else None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [first, text, last],
            "pair": [first, text, last],
            "special_tokens": ends,
        }
        if special
        else None,
        "decoder": None,
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": places,
        },
    }


def bert_tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights by the names that BERT's have."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * 0.5

    tables = {"word": len(WORDS), "position": POSITIONS, "token_type": 2}
    tensors = {
        f"embeddings.{name}_embeddings.weight": drawn(rows, WIDTH) for name, rows in tables.items()
    }
    names = {"embeddings.LayerNorm": (WIDTH,)}
    for layer in range(LAYERS):
        start = f"encoder.layer.{layer}."
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            names[f"{start}attention.{part}"] = (WIDTH, WIDTH)
        names[f"{start}intermediate.dense"] = (INNER, WIDTH)
        names[f"{start}output.dense"] = (WIDTH, INNER)
        names[f"{start}attention.output.LayerNorm"] = names[f"{start}output.LayerNorm"] = (WIDTH,)
    for name, shape in names.items():
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = drawn(*shape), drawn(shape[0])
    return tensors


def bert_config(**changes: Any) -> dict[str, Any]:
    return {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "vocab_size": len(WORDS),
        "pad_token_id": 0,
        **changes,
    }


def hugging_face(folder: Path, **changes: Any) -> Path:
    """A BERT as Hugging Face's libraries save it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", bert_config(**changes))
    write_json(folder / "tokenizer.json", tokenizer())
    save_file(bert_tensors(), folder / "model.safetensors", {"format": "pt"})
    return folder


def sentence_transformer(folder: Path, pooling: str = "mean_tokens", most: int | None = 24) -> Path:
    """The same as sentence-transformers saves it; its vectors have the length 1."""
    hugging_face(folder)
    path, kinds = MODULES
    paths = ("", "1_Pooling", "2_Normalize")
    listed = [
        {"idx": place, "name": str(place), "path": paths[place], "type": path.format(kind)}
        for place, kind in enumerate(kinds)
    ]
    write_json(folder / "modules.json", listed)
    modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
    modules = {f"pooling_mode_{mode}": mode == pooling for mode in modes}
    write_json(folder / "1_Pooling/config.json", {"word_embedding_dimension": WIDTH, **modules})
    write_json(
        folder / "sentence_bert_config.json", {"max_seq_length": most, "do_lower_case": False}
    )
    return folder


def static(folder: Path, width: int = 16, *, half: bool = False) -> Path:
    """A table of tokens as sentence-transformers saves it."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = "sentence_transformers.models.StaticEmbedding"
    listed = [{"idx": 0, "name": "0", "path": "0_StaticEmbedding", "type": kind}]
    write_json(folder / "modules.json", listed)
    inner = folder / "0_StaticEmbedding"
    write_json(inner / "tokenizer.json", tokenizer(special=False))
    table = torch.randn(len(WORDS), width, generator=torch.Generator().manual_seed(1))
    table = table.half() if half else table
    save_file({"embedding.weight": table}, inner / "model.safetensors")
    return folder


def model2vec(folder: Path, width: int = 16) -> Path:
    """A table of tokens as model2vec saves it: rows are shared and weighted."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", {"model_type": "model2vec", "normalize": True})
    write_json(folder / "tokenizer.json", tokenizer(special=False))
    generator = torch.Generator().manual_seed(2)
    tensors = {
        "embeddings": torch.randn(20, width, generator=generator),
        "mapping": torch.arange(len(WORDS)) % 20,
        "weights": torch.rand(len(WORDS), generator=generator),
    }
    save_file(tensors, folder / "model.safetensors")
    return folder


def wordllama(folder: Path) -> Path:
    """The encoder that the package `wordllama` carries (256 numbers, 32,000 tokens)."""
    found = find_spec("wordllama")
    if found is None or found.origin is None:
        pytest.skip("the package wordllama, which carries an encoder, is not installed")
    package = Path(found.origin).parent
    folder.mkdir(parents=True, exist_ok=True)
    kind = "sentence_transformers.models.StaticEmbedding"
    write_json(folder / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": kind}])
    for name, source in {
        "tokenizer.json": "tokenizers/l2_supercat_tokenizer_config.json",
        "model.safetensors": "weights/l2_supercat_256.safetensors",
    }.items():
        (folder / name).write_bytes((package / source).read_bytes())
    return folder


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))
