"""The encoders of columns of texts while data are prepared."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

import numpy as np
import pyarrow as pa

from rayml.data.advice.advice import Advice
from rayml.data.columns.origin import ORDER
from rayml.data.columns.schema import FeatureSchema
from rayml.data.prepare.blocks import split_start
from rayml.data.prepare.passes import HeldRows, Rows, collect
from rayml.data.prepare.store import writing
from rayml.data.statistics.moments import NumericStatistics
from rayml.data.statistics.vectors import VectorStatistics
from rayml.data.text.folder import read_folder
from rayml.data.text.reader import Projection, TextReader
from rayml.data.text.stored import NewEncoder, StoredEncoder
from rayml.data.text.vectors import DiskVectors
from rayml.errors import ConfigError
from rayml.settings.data import SchemaSettings, TextSettings
from rayml.types import Kind

_FOLDER = "encoders"
_MOST_WHOLE = 1024
"""Numbers of a vector that is taken as a whole at most."""


def with_text_kinds(schema: SchemaSettings, settings: TextSettings) -> SchemaSettings:
    """Settings in which the columns that have an encoder of their own are of the kind `text`.

    Raises:
        ConfigError: a column of texts has no encoder, an encoder no column, or two settings differ.
    """
    encoder = settings.encoder
    own: Mapping[str, str] = {} if encoder is None or isinstance(encoder, str) else encoder
    other = [name for name in own if schema.kinds.get(name, "text") != "text"]
    if other:
        raise ConfigError(
            f"data.text.encoder names an encoder of column {other[0]!r}, and data.schema.kinds"
            f" makes it {schema.kinds[other[0]]}",
            remedy="Correct one of them",
        )
    kinds: dict[str, Kind] = {**schema.kinds, **dict.fromkeys(own, "text")}
    texts = [name for name, kind in kinds.items() if kind == "text"]
    if isinstance(encoder, str):
        if not texts:
            raise ConfigError(
                "data.text.encoder names an encoder, and no column is one of texts",
                remedy="Name it in data.schema.kinds, as in data.schema.kinds={review: text}",
            )
    elif lacking := [name for name in texts if name not in own]:
        raise ConfigError(
            f"data.schema.kinds makes column {lacking[0]!r} text, and data.text.encoder names no"
            " encoder for it",
            remedy="Set data.text.encoder to the folder of an encoder on this machine",
        )
    return replace(schema, kinds=kinds) if own else schema


@dataclass(frozen=True)
class Texts:
    """The encoders of columns of texts.

    Attributes:
        encoders: by column.
        features: see `TextSettings`.
        store: of prepared datasets.
    """

    encoders: Mapping[str, NewEncoder]
    features: int | None
    store: Path

    @classmethod
    def of(cls, schema: SchemaSettings, settings: TextSettings, store: Path) -> Texts:
        """Read what the encoders are.

        Args:
            schema: with the kinds of columns, see `with_text_kinds`.
            settings: of texts.
            store: of prepared datasets.

        Raises:
            ConfigError: an encoder cannot be used.
        """
        found: dict[str, NewEncoder] = {}
        by_folder: dict[str, NewEncoder] = {}
        for name, kind in schema.kinds.items():
            if kind != "text":
                continue
            given = settings.encoder
            folder = given if isinstance(given, str) else (given or {})[name]
            if folder not in by_folder:
                source = read_folder(Path(folder).expanduser(), settings.max_tokens)
                by_folder[folder] = NewEncoder.of(source)
            found[name] = by_folder[folder]
            width = found[name].source.spec.width
            if settings.features is None and width > _MOST_WHOLE:
                raise ConfigError(
                    f"the vectors of column {name!r} have {width} numbers, and at most"
                    f" {_MOST_WHOLE} are taken as they are",
                    remedy="Set data.text.features, as to 64",
                )
        return cls(found, settings.features, store)

    def content(self) -> dict[str, object]:
        """What prepared data depend on, as a value of JSON."""
        digests = {name: encoder.digest for name, encoder in self.encoders.items()}
        return {"text": {"encoders": digests, "features": self.features}} if digests else {}

    def readers(self, schema: FeatureSchema) -> dict[str, TextReader]:
        """Readers of the columns, whose encoders are stored from now on.

        Raises:
            ConfigError: an encoder cannot be used, or the package `tokenizers` is not installed.
            StorageError: the disk is full or read-only.
        """
        found = {}
        for column in schema.columns:
            if column.kind == "text":
                new = self.encoders[column.name]
                spec = new.source.spec
                found[column.name] = TextReader(
                    self._vectors(new), spec.width, spec.max_tokens, missing=schema.missing
                )
        return found

    def reduced(self, placed: Rows, readers: Mapping[str, TextReader]) -> dict[str, TextReader]:
        """Readers that give the numbers that the settings ask for, fitted to the training rows.

        Args:
            placed: rows in their order.
            readers: of `readers`.
        """
        most = self.features
        if most is None:
            return dict(readers)
        wide = {name: reader for name, reader in readers.items() if reader.width > most}
        if not wide:
            return dict(readers)
        parts = pa.concat_tables(collect(placed, ObserveTexts(wide))).sort_by("first").to_pylist()
        found = dict(readers)
        for name, reader in wide.items():
            mine = (VectorStatistics.from_state(row) for row in parts if row["column"] == name)
            found[name] = _projected(reader, reduce(VectorStatistics.merge, mine), most)
        return found

    def fitted(self, rows: pa.Table, readers: Mapping[str, TextReader]) -> dict[str, TextReader]:
        """As `reduced`, of training rows in one table."""
        most = self.features
        return {
            name: reader
            if most is None or reader.width <= most
            else _projected(reader, _statistics(reader, rows.column(name)), most)
            for name, reader in readers.items()
        }

    def _vectors(self, new: NewEncoder) -> DiskVectors:
        encoder = StoredEncoder(self.store.resolve() / _FOLDER / new.digest[:16], new.digest)
        if not encoder.folder.is_dir():
            with writing(encoder.folder) as temporary:
                new.store(temporary)
        encoder.load()
        return DiskVectors(encoder, encoder.folder.with_suffix(".sqlite"))


def encode(rows: Rows, readers: Mapping[str, TextReader]) -> None:
    """Encode the texts of all rows, block by block, so that later passes find their vectors.

    Rows that this process holds are one block, which any pass encodes as well.
    """
    if not isinstance(rows, HeldRows):
        for _ in collect(rows, Encode(readers)):
            pass


@dataclass(frozen=True)
class Encode:
    """Encodes the texts of a block."""

    readers: Mapping[str, TextReader]

    def __call__(self, rows: pa.Table) -> pa.Table:
        """The number of rows."""
        for name, reader in self.readers.items():
            reader.read_column(rows.column(name))
        return pa.table({"rows": [rows.num_rows]})


@dataclass(frozen=True)
class ObserveTexts:
    """Aggregates the vectors of the training rows."""

    readers: Mapping[str, TextReader]

    def __call__(self, placed: pa.Table) -> pa.Table:
        """A row for each column, with the place of the block's first row."""
        order = placed.column(ORDER).to_numpy()
        training = placed.filter(pa.array(order < split_start(1)))
        states = [self._state(name, training, reader) for name, reader in self.readers.items()]
        first = int(order[0]) if len(order) else 0
        return pa.concat_tables(
            state.append_column("first", pa.repeat(first, state.num_rows)) for state in states
        )

    @staticmethod
    def _state(name: str, rows: pa.Table, reader: TextReader) -> pa.Table:
        state = _statistics(reader, rows.column(name)).state()
        return state.append_column("column", pa.array([name]))


def _statistics(reader: TextReader, column: pa.ChunkedArray) -> VectorStatistics:
    """Aggregates of the vectors of texts that are not missing."""
    numbers = reader.read_column(column).numbers
    return VectorStatistics.of(numbers[~np.isnan(numbers[:, 0])])


def _projected(reader: TextReader, statistics: VectorStatistics, most: int) -> TextReader:
    """A reader of at most so many numbers, along the directions of greatest variance."""
    directions = statistics.directions(most)
    return replace(reader, projection=Projection(statistics.mean, directions))


@contextmanager
def store_of_vectors(store: Path | None) -> Iterator[Path]:
    """The folder that keeps encoders and vectors; one for the context without a store."""
    if store is not None:
        yield store
        return
    with tempfile.TemporaryDirectory(prefix="rayml-texts-") as folder:
        yield Path(folder)


def of_texts(
    readers: Mapping[str, TextReader], tokens: Mapping[str, NumericStatistics]
) -> Iterator[Advice]:
    """Advice about texts whose end is not read.

    Args:
        readers: of the columns of texts.
        tokens: statistics of the tokens of a text, by column.
    """
    for name, reader in readers.items():
        seen = tokens[name]
        longer = seen.values() > reader.max_tokens
        cut = int(seen.sketch.counts[longer].sum())
        if cut:
            yield Advice(
                "texts",
                f"{cut:,} of {seen.count:,} training texts of column {name!r} have more tokens than"
                f" the {reader.max_tokens} that are read; their ends are left out"
                " (data.text.max_tokens, and what the encoder takes)",
                (name,),
            )
