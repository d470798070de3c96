"""An encoder of texts, ready to use."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rayml.data.text.spec import EncoderSpec
from rayml.data.text.static import StaticModel, Vector, shapes_of_static
from rayml.data.text.tokenizing import Tokenizer
from rayml.errors import DataError
from rayml.storage.safetensors_header import Shape, tensor_shapes

if TYPE_CHECKING:
    from torch import Tensor

    from rayml.data.text.threads import SingleThreads

_LEAST_NORM = np.float32(1e-12)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Some texts as vectors.

    Attributes:
        vectors: float32, [texts, width].
        tokens: how many tokens each has, those that were cut included; int64, [texts].
    """

    vectors: npt.NDArray[np.float32]
    tokens: npt.NDArray[np.int64]


class TextEncoder:
    """Turns texts into vectors; safe to use from several threads.

    Each text is computed by itself in one thread, so that its bits depend on nothing but itself and
    the kind of processor.

    Args:
        spec: what it is.
        tokenizer: content of its `tokenizer.json`.
        weights: content of its `model.safetensors`.

    Raises:
        ConfigError: the package `tokenizers` is not installed.
        ValueError: a part is torn, or not one of this encoder.
    """

    def __init__(self, spec: EncoderSpec, tokenizer: bytes, weights: bytes) -> None:
        self.spec = spec
        found = tensor_shapes(io.BytesIO(weights), len(weights))
        self._static = spec.architecture == "static"
        self._tokenizer = Tokenizer(
            tokenizer,
            vocabulary=spec.vocabulary,
            special=not self._static,
            skipped=spec.skipped,
        )
        self._threads: SingleThreads | None = None
        self._model: Callable[[Sequence[int]], Vector]
        if self._static:
            needed = shapes_of_static(spec, found)
            self._model = StaticModel(spec, _tensors(weights, needed, found))
        else:
            from rayml.data.text.threads import SingleThreads
            from rayml.data.text.transformer import TransformerModel, shapes_of_transformer

            needed = shapes_of_transformer(spec, found)
            self._model = TransformerModel(spec, _tensors(weights, needed, found))
            self._threads = SingleThreads()

    @property
    def slow(self) -> bool:
        """Whether a text takes milliseconds rather than microseconds."""
        return not self._static

    def encode(self, texts: Sequence[str]) -> Encoded:
        """The vectors of texts.

        Raises:
            DataError: a vector is not finite.
        """
        if self._threads is None:
            found = [self._one(text) for text in texts]
        else:
            found = self._threads.map(self._one, texts)
        vectors = np.empty((len(texts), self.spec.width), np.float32)
        for place, (vector, _) in enumerate(found):
            vectors[place] = vector
        if not np.isfinite(vectors).all():
            raise DataError(
                "an encoder of texts gives a vector that is not finite",
                remedy="Its weights are damaged, or overflow: use another encoder",
            )
        return Encoded(vectors, np.array([tokens for _, tokens in found], np.int64))

    def _one(self, text: str) -> tuple[Vector, int]:
        # Half of a surrogate pair is no text that a tokenizer takes.
        plain = self.spec.prompt + text.encode("utf-8", "replace").decode()
        tokens, count = self._tokenizer(
            plain.lower() if self.spec.lower else plain, self.spec.max_tokens
        )
        vector = self._model(tokens)
        if self.spec.normalize:
            vector = vector / max(np.sqrt((vector * vector).sum()), _LEAST_NORM)
        return vector, count


_LOADED: dict[str, TextEncoder] = {}
_MOST_LOADED = 4
_TURN = threading.Lock()


def loaded(digest: str, make: Callable[[], TextEncoder]) -> TextEncoder:
    """An encoder of this process by its digest, made if there is none yet.

    Tasks of Ray come with copies of a preprocessor, whose encoders are the same.
    """
    with _TURN:
        if digest not in _LOADED:
            made = make()
            while len(_LOADED) >= _MOST_LOADED:
                _LOADED.pop(next(iter(_LOADED)))
            _LOADED[digest] = made
        return _LOADED[digest]


def _tensors(
    weights: bytes, needed: Mapping[str, Shape], found: Mapping[str, Shape]
) -> dict[str, Tensor]:
    from safetensors.torch import load

    for name, shape in needed.items():
        if found.get(name) != shape:
            raise ValueError(
                f"its tensor {name[:200]!r} has the shape {found.get(name)}, not {shape}"
            )
    tensors = load(weights)
    for name in needed:
        if not (tensors[name].is_floating_point() or name == "mapping"):
            raise ValueError(f"its tensor {name[:200]!r} is of {tensors[name].dtype}")
    return {name: tensors[name] for name in needed}
