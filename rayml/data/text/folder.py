"""Reads the folder of an encoder as its author published it.

Three formats are known: a sentence-transformers model (`modules.json` names its parts), a model of
Hugging Face (`config.json`; the mean over its tokens is the text's vector, as sentence-transformers
takes such a model), and a model2vec model. Each has a `tokenizer.json` and its weights as
`model.safetensors`. Nothing of a folder is run: pickles and models with code of their own are
refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from rayml.data.text.spec import Activation, EncoderSpec, Pooling, TransformerSpec
from rayml.errors import ConfigError
from rayml.storage.bounded import TooLargeError, read_bounded
from rayml.storage.safetensors_header import Shape, TornTensorsError, tensor_shapes

WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"

_MOST_BYTES = 4 << 20  # of a config
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
_BERTS = ("bert", "roberta", "xlm-roberta", "camembert")
_ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}
_POOLINGS: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
}
_TABLES = ("embedding.weight", "embeddings")  # of static models
_WORDS = "embeddings.word_embeddings.weight"
_POSITIONS = "embeddings.position_embeddings.weight"
_STATIC_TOKENS = 8192


@dataclass(frozen=True)
class EncoderFolder:
    """An encoder as its author published it.

    Attributes:
        spec: what it is.
        tokenizer: file of the tokenizer.
        weights: file of the tensors.
    """

    spec: EncoderSpec
    tokenizer: Path
    weights: Path


def read_folder(folder: Path, max_tokens: int) -> EncoderFolder:
    """Read what the encoder in a folder is; neither its weights nor its tokenizer.

    Args:
        folder: of the encoder.
        max_tokens: of a text; an encoder that takes fewer cuts sooner.

    Raises:
        ConfigError: it is absent, or of another format or structure than those that are known.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"data.text.encoder: there is no folder {folder}",
            remedy="Name the folder of an encoder that lies on this machine; names of models on a"
            " hub are not downloaded",
        )
    try:
        return _Reader(folder).read(max_tokens)
    except (ValidationError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False)[0]
            why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        else:
            why = f"{type(error).__name__}: {error}"
        raise _refused(folder, f"its config does not describe an encoder ({why})") from error


class _Reader:
    """Reads one folder; a value of a wrong kind raises what Python does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, max_tokens: int) -> EncoderFolder:
        modules = self._modules()
        model = self._folder / modules[0][1] if modules else self._folder
        weights = self._weights(model)
        shapes = self._shapes(weights)
        tokenizer = model / TOKENIZER
        if not tokenizer.is_file():
            raise ConfigError(
                f"data.text.encoder: {self._folder} has no {tokenizer.relative_to(self._folder)}",
                remedy="Save its fast tokenizer into it: AutoTokenizer.from_pretrained(FOLDER, "
                "use_fast=True).save_pretrained(FOLDER)",
            )
        config = self._json(model / "config.json") or {}
        static = bool(modules) and modules[0][0] == "StaticEmbedding"
        if static or config.get("model_type") == "model2vec":
            spec = self._static(config, shapes, max_tokens, modules, tokenizer)
        else:
            spec = self._transformer(config, shapes, max_tokens, modules, model)
        return EncoderFolder(spec, tokenizer, weights)

    def _static(
        self,
        config: Mapping[str, Any],
        shapes: Mapping[str, Shape],
        max_tokens: int,
        modules: Sequence[tuple[str, str]],
        tokenizer: Path,
    ) -> EncoderSpec:
        table = next((name for name in _TABLES if name in shapes), None)
        if table is None or len(shapes[table]) != 2:
            raise _refused(
                self._folder, f"{WEIGHTS} has no table of tokens, {' or '.join(_TABLES)}"
            )
        described = self._json(tokenizer, 64 << 20)
        own, skipped, most = not modules, None, _STATIC_TOKENS
        if own:  # a model2vec model leaves out what its tokenizer does not know
            named = described["model"]
            unknown, known = named.get("unk_token"), named.get("vocab", {})
            skipped = known.get(unknown) if isinstance(known, dict) else named.get("unk_id")
        elif (cut := described.get("truncation")) is not None:
            most = cut["max_length"]
        mapping = shapes.get("mapping")
        return EncoderSpec(
            architecture="static",
            width=shapes[table][1],
            vocabulary=mapping[0] if mapping else shapes[table][0],
            max_tokens=min(max_tokens, most),
            normalize=self._normalizes(modules) or (own and config.get("normalize") is True),
            prefix=table,
            skipped=skipped,
        )

    def _transformer(
        self,
        config: Mapping[str, Any],
        shapes: Mapping[str, Shape],
        max_tokens: int,
        modules: Sequence[tuple[str, str]],
        model: Path,
    ) -> EncoderSpec:
        kind = config["model_type"]
        self._require_plain(config, kind)
        distil = kind == "distilbert"
        names = [name for name in shapes if name.endswith(_WORDS)]
        if len(names) != 1:
            raise _refused(self._folder, f"{WEIGHTS} has not one table {_WORDS}, but {len(names)}")
        prefix = names[0].removesuffix(_WORDS)
        positions = shapes[prefix + _POSITIONS][0]
        # RoBERTa counts positions from the one after that of padding.
        first = 0 if kind in ("bert", "distilbert") else config["pad_token_id"] + 1
        own = self._json(model / "sentence_bert_config.json") or {}
        most = own.get("max_seq_length") or positions - first
        return EncoderSpec(
            architecture="distilbert" if distil else "bert",
            width=config["dim" if distil else "hidden_size"],
            vocabulary=shapes[names[0]][0],
            max_tokens=min(max_tokens, most, positions - first),
            pooling=self._pooling(modules),
            normalize=self._normalizes(modules),
            prompt=self._prompt(),
            lower=own.get("do_lower_case", False),
            prefix=prefix,
            transformer=TransformerSpec(
                layers=config["n_layers" if distil else "num_hidden_layers"],
                heads=config["n_heads" if distil else "num_attention_heads"],
                inner=config["hidden_dim" if distil else "intermediate_size"],
                activation=_ACTIVATIONS[config["activation" if distil else "hidden_act"]],
                epsilon=1e-12 if distil else config["layer_norm_eps"],
                positions=positions,
                first_position=first,
            ),
        )

    def _require_plain(self, config: Mapping[str, Any], kind: object) -> None:
        """Refuse structures that rayml does not compute."""
        if kind not in (*_BERTS, "distilbert"):
            raise _refused(self._folder, f"its model_type is {kind!r}")
        usual = {
            "auto_map": None,
            "is_decoder": False,
            "position_embedding_type": "absolute",
            "quantization_config": None,
        }
        for name, value in usual.items():
            if config.get(name, value) not in (value, None):
                raise _refused(
                    self._folder,
                    f"its config.json sets {name} to {str(config[name])[:100]}, which rayml does"
                    " not compute",
                )

    def _modules(self) -> list[tuple[str, str]]:
        """The parts of a sentence-transformers model: the class and folder of each."""
        listed = self._json(self._folder / "modules.json")
        if listed is None:
            return []
        ordered = sorted(listed, key=lambda each: int(each["idx"]))
        modules = [(each["type"].rsplit(".", 1)[-1], each["path"]) for each in ordered]
        kinds = [kind for kind, _ in modules]
        if kinds[-1:] == ["Normalize"]:
            kinds.pop()
        if kinds not in (["Transformer", "Pooling"], ["StaticEmbedding"]):
            listed = ", ".join(kind[:50] for kind, _ in modules[:20])
            raise _refused(self._folder, f"its modules.json lists {listed}")
        for _, path in modules:
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise _refused(self._folder, f"its modules.json names {path[:100]!r} outside of it")
        return modules

    def _pooling(self, modules: Sequence[tuple[str, str]]) -> Pooling:
        if not modules:
            return "mean"
        config = self._json(self._folder / modules[1][1] / "config.json") or {}
        if isinstance(named := config.get("pooling_mode"), str):
            modes = [f"pooling_mode_{'cls_token' if named == 'cls' else f'{named}_tokens'}"]
        else:
            modes = [
                name
                for name, value in config.items()
                if name.startswith("pooling_mode_") and value is True
            ]
        if len(modes) != 1 or modes[0] not in _POOLINGS:
            named = ", ".join(modes)[:200] or "nothing"
            raise _refused(
                self._folder, f"it pools tokens by {named}, not by one of {', '.join(_POOLINGS)}"
            )
        return _POOLINGS[modes[0]]

    def _prompt(self) -> str:
        config = self._json(self._folder / "config_sentence_transformers.json") or {}
        name = config.get("default_prompt_name")
        return "" if name is None else str(config["prompts"][name])

    @staticmethod
    def _normalizes(modules: Sequence[tuple[str, str]]) -> bool:
        return bool(modules) and modules[-1][0] == "Normalize"

    def _weights(self, model: Path) -> Path:
        path = model / WEIGHTS
        if path.is_file():
            return path
        pickled = sorted(each.name for kind in _PICKLES for each in model.glob(kind))
        if pickled:
            raise ConfigError(
                f"data.text.encoder: the weights of {self._folder} are a pickle, {pickled[0]},"
                " which can run any code when it is read",
                remedy="Save them again where you trust them, as safetensors:"
                " model.save_pretrained(FOLDER, safe_serialization=True)",
            )
        raise _refused(self._folder, f"it has no {path.relative_to(self._folder)}")

    def _shapes(self, path: Path) -> dict[str, Shape]:
        try:
            with path.open("rb") as content:
                return tensor_shapes(content, path.stat().st_size)
        except (OSError, TornTensorsError) as error:
            raise _refused(self._folder, f"{WEIGHTS} cannot be read: {error}") from error

    def _json(self, path: Path, most: int = _MOST_BYTES) -> Any:
        """The content of a file; None where it is absent."""
        if not path.is_file():
            return None
        try:
            return json.loads(read_bounded(path, most))
        except (OSError, TooLargeError, ValueError, RecursionError) as error:
            raise _refused(self._folder, f"{path.name} cannot be read ({error})") from error


def _refused(folder: Path, why: str) -> ConfigError:
    return ConfigError(
        f"data.text.encoder: {folder} cannot be used: {why}",
        remedy="Use another one: of sentence-transformers a model of Transformer and Pooling, or of"
        f" StaticEmbedding; of Hugging Face one of the type {', '.join(_BERTS)} or distilbert; or a"
        " model2vec model",
    )
