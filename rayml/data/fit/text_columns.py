"""Columns of texts as numeric features: the numbers of a text, each transformed as a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from rayml.data.fit.column_transforms import (
    Mask,
    NumericColumn,
    numeric_from_json,
    numeric_to_json,
)
from rayml.data.fit.fitting import fit_numeric
from rayml.data.fit.numbers import NumericColumns
from rayml.data.statistics.statistics import Statistics
from rayml.data.text.reader import Projection, TextNumbers, TextReader
from rayml.data.text.stored import Read, StoredEncoder
from rayml.data.text.vectors import MemoryVectors
from rayml.settings.data import PreprocessSettings

_FOLDER = "encoders"


@dataclass(frozen=True)
class TextColumn:
    """Texts as numeric features.

    Attributes:
        name: of the column.
        reader: of the texts.
        numbers: transforms of the numbers of a text.
    """

    name: str
    reader: TextReader
    numbers: tuple[NumericColumn, ...]
    _transform: NumericColumns = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_transform", NumericColumns(self.numbers))

    @classmethod
    def fit(
        cls, name: str, reader: TextReader, statistics: Statistics, settings: PreprocessSettings
    ) -> Self:
        """Fit to the statistics of the training split, see `part_names`."""
        numbers = tuple(
            fit_numeric(part, "numeric", statistics, settings) for part in part_names(name, reader)
        )
        return cls(name, reader, numbers)

    def reading(self, tokens: Sequence[str]) -> Self:
        """A copy that reads these texts as missing values."""
        return replace(self, reader=replace(self.reader, missing=tuple(tokens)))

    def features(self, found: TextNumbers) -> tuple[npt.NDArray[np.float32], Mask]:
        """The features of texts, [texts, features], and which texts are missing."""
        features, _ = self._transform.apply_rows(found.numbers)
        missing: Mask = np.isnan(found.tokens)
        return features, missing

    def is_cut(self, text: str | None) -> bool:
        """Whether the end of a text is not read."""
        return bool(self.reader.read([text]).tokens[0] > self.reader.max_tokens)

    def to_json(self) -> dict[str, Any]:
        """State as a value of JSON; the encoder is saved by `save_encoders`."""
        projection = self.reader.projection
        return {
            "name": self.name,
            "encoder": self.reader.vectors.encoder.digest,
            "width": self.reader.width,
            "max_tokens": self.reader.max_tokens,
            "center": None if projection is None else projection.center.tolist(),
            "directions": None if projection is None else projection.directions.tolist(),
            "numbers": [numeric_to_json(column) for column in self.numbers],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], encoders: Mapping[str, StoredEncoder]) -> Self:
        """Restore what `to_json` gave.

        Args:
            value: of JSON.
            encoders: by digest.
        """
        projection = None
        if value["center"] is not None:
            projection = Projection(np.array(value["center"]), np.array(value["directions"]))
        reader = TextReader(
            MemoryVectors(encoders[value["encoder"]]),
            value["width"],
            value["max_tokens"],
            projection,
        )
        return cls(value["name"], reader, tuple(map(numeric_from_json, value["numbers"])))


def part_names(name: str, reader: TextReader) -> list[str]:
    """Names of the numbers of a column's texts."""
    return [f"{name}[{place}]" for place in range(reader.features)]


def save_encoders(folder: Path, columns: Sequence[TextColumn]) -> None:
    """Save the encoders of columns, each once, beside the state of their preprocessor."""
    encoders = {each.reader.vectors.encoder.name: each.reader.vectors.encoder for each in columns}
    for name, encoder in encoders.items():
        encoder.save(folder / _FOLDER / name)


def stored_encoders(folder: Path, digests: Sequence[str], read: Read) -> dict[str, StoredEncoder]:
    """The encoders that `save_encoders` saved, by digest; they are read when they are used."""
    found = {}
    for digest in digests:
        encoder = StoredEncoder(folder / _FOLDER, digest, read)
        found[digest] = replace(encoder, folder=encoder.folder / encoder.name)
    return found
