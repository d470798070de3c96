"""Reads a column of texts as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rayml.data.text.vectors import Vectors

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Projection:
    """Vectors as their coordinates along a few directions.

    Attributes:
        center: subtracted from a vector; float64, [width].
        directions: float64, [features, width].
    """

    center: Floats
    directions: Floats

    def __call__(self, vectors: npt.NDArray[np.float32]) -> Floats:
        """The coordinates of vectors, [vectors, features].

        Each vector is summed up by itself, since a product of matrices gives a row other bits
        beside other rows.
        """
        made = np.empty((len(vectors), len(self.directions)))
        for place, vector in enumerate(vectors):
            made[place] = (self.directions * (vector - self.center)).sum(axis=1)
        return made


@dataclass(frozen=True)
class TextNumbers:
    """Numbers of some texts.

    Attributes:
        numbers: [texts, features]; a missing text has NaN in all.
        tokens: of each text, those that are cut included; NaN for a missing one.
    """

    numbers: Floats
    tokens: Floats


@dataclass(frozen=True)
class TextReader:
    """Turns texts into numbers.

    An empty text, one of spaces alone, and a token for a missing value are missing.

    Attributes:
        vectors: of texts.
        width: of the vectors.
        max_tokens: of a text; what follows is cut.
        projection: of the vectors; None takes them as they are.
        missing: texts that mean a missing value.
    """

    vectors: Vectors
    width: int
    max_tokens: int
    projection: Projection | None = None
    missing: tuple[str, ...] = ()

    @property
    def features(self) -> int:
        """How many numbers a text has."""
        return self.width if self.projection is None else len(self.projection.directions)

    def is_missing(self, text: str | None) -> bool:
        """Whether that is a missing value."""
        return text is None or not text.strip() or text in self.missing

    def read(self, texts: Sequence[str | None]) -> TextNumbers:
        """The numbers of texts.

        Raises:
            ConfigError: the package `tokenizers` is not installed.
            DataError: the encoder cannot be used.
        """
        different = {text: None for text in texts if not self.is_missing(text)}
        places = {text: place for place, text in enumerate(different)}
        numbers = np.full((len(places) + 1, self.features), np.nan)
        tokens = np.full(len(places) + 1, np.nan)
        if places:
            found = self.vectors([text for text in places if text is not None])
            project = self.projection
            numbers[:-1] = found.vectors if project is None else project(found.vectors)
            tokens[:-1] = found.tokens
        chosen = [places.get(text, len(places)) for text in texts]
        return TextNumbers(numbers[chosen], tokens[chosen])

    def read_column(self, column: pa.ChunkedArray) -> TextNumbers:
        """The numbers of a column of strings."""
        encoded = column.combine_chunks().dictionary_encode()
        distinct: list[Any] = [*encoded.dictionary.to_pylist(), None]
        found = self.read(distinct)
        places = encoded.indices.fill_null(len(distinct) - 1).to_numpy()
        return TextNumbers(found.numbers[places], found.tokens[places])
