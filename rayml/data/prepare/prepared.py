"""The prepared dataset: a folder that holds the fitted preprocessor and the transformed splits.

manifest.json            `rows`, `quarantined`, versions, timings; written last
preprocessor/            state of the fitted preprocessor, schema included
examples/<split>/        Parquet: a column for each feature, and the encoded target
groups/<split>/          Parquet: the raw group columns, in the same order of rows
folds.parquet            the fold of each training row, in their order, if there are folds
rows/test.parquet        raw test rows, a part of them if there are many
quarantine.parquet       bad rows, if there are any
advice.json              advice about the data before training
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from rayml.data.advice.advice import Advice, read_advice
from rayml.data.columns.schema import FeatureSchema
from rayml.data.delimited.dialect import CsvSettings
from rayml.data.fit.preprocess import Preprocessor
from rayml.data.split.folds import FOLD_COLUMNS, Folds
from rayml.data.statistics.target import encoded_type
from rayml.errors import DataError
from rayml.storage.bounded import TooLargeError, read_bounded
from rayml.types import Examples, Features, Size, SplitName

FORMAT = 1
_MOST_BYTES = 16 << 20
MANIFEST = "manifest.json"
QUARANTINE = "quarantine.parquet"
FOLDS = "folds.parquet"
TEST_ROWS = "rows/test.parquet"
MAX_TEST_ROWS = 10_000
_SAMPLED_FILES = 8


class _Manifest(TypedDict, total=False):
    """The content of a manifest; one of another format may have only that key."""

    format: int
    hash: str
    source: str
    rows: dict[SplitName, Size]
    quarantined: Size
    reasons: dict[str, Size]
    timings: dict[str, float]
    folds: Size


_KEYS = {"hash", "source", "rows", "quarantined", "reasons", "timings"}
_MANIFEST: TypeAdapter[_Manifest] = TypeAdapter(_Manifest)


@dataclass(frozen=True)
class PreparedDataset:
    """Prepared splits in a folder.

    Attributes:
        path: of the folder.
        hash: of the configuration, the source's fingerprint and the format.
        source: fingerprint of the rows that it was made from.
        preprocessor: fitted on the training split.
        rows: number of rows by split.
        quarantined: number of bad rows that were left out.
        reasons: number of bad rows by reason.
        timings: seconds by stage of preparing.
        reused: whether it was found in the store rather than made.
        csv: dialect of the files that it was made from; None if they are not CSV, or an older
            rayml made it.
    """

    path: Path
    hash: str
    source: str
    preprocessor: Preprocessor
    rows: Mapping[SplitName, int]
    quarantined: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    reused: bool = True
    csv: CsvSettings | None = None
    folds: int = 0

    @property
    def schema(self) -> FeatureSchema:
        """Columns of the raw data."""
        return self.preprocessor.schema

    @property
    def quarantine(self) -> Path | None:
        """The file of bad rows, see `rayml.data.rows.coerce.BAD_ROWS`; None if there are none."""
        return self.path / QUARANTINE if self.quarantined else None

    def files(self, split: SplitName) -> list[Path]:
        """Parquet files of a split in the order of its rows."""
        return sorted((self.path / "examples" / split).glob("*.parquet"))

    def nbytes(self, split: SplitName) -> int:
        """Bytes that `examples` of a split takes in memory."""
        shape, target = self.preprocessor.shape, encoded_type(self.preprocessor.target).itemsize
        row = 4 * shape.numeric + 8 * len(shape.cardinalities) + target
        return self.rows[split] * row

    def examples(self, split: SplitName) -> Examples:
        """Read a whole split into contiguous arrays.

        Raises:
            DataError: files do not hold the rows of the manifest, or more than this machine has
                memory for.
        """
        self._require_room(split)
        parts = [self.decode(pq.read_table(path)) for path in self.files(split)]
        return joined(parts)

    def code_counts(self, split: SplitName) -> list[npt.NDArray[np.int64]]:
        """Number of rows of a split by code, for each categorical column.

        Raises:
            DataError: files hold other rows than the manifest, or codes that the preprocessor
                lacks.
        """
        self._require_declared(split)
        names = [feature.name for feature in self.preprocessor.categorical_features]
        counts = [np.zeros(n, np.int64) for n in self.preprocessor.shape.cardinalities]
        for path in self.files(split) if names else []:
            table = pq.read_table(path, columns=names)
            for place, name in enumerate(names):
                codes = table.column(name).to_numpy()
                if len(codes) and not 0 <= codes.min() <= codes.max() < len(counts[place]):
                    raise DataError(
                        f"{path.name} of the {split} split has codes of {name!r} that the"
                        " preprocessor lacks",
                        remedy=f"Remove {self.path}, and prepare the data again",
                    )
                counts[place] += np.bincount(codes, minlength=len(counts[place]))
        return counts

    def sample(self, split: SplitName, rows: int) -> Examples:
        """Read about so many rows, spread over a few files of a split.

        Raises:
            DataError: files do not hold the rows of the manifest.
        """
        self._require_declared(split)
        files = self.files(split)
        places = np.unique(np.linspace(0, len(files) - 1, _SAMPLED_FILES).astype(int))
        parts = []
        for place in places.tolist():
            table = pq.read_table(files[place])
            count = min(table.num_rows, -(-rows // len(places)))
            chosen = np.linspace(0, max(table.num_rows - 1, 0), count).astype(int)
            parts.append(self.decode(table.take(chosen)))
        return joined(parts)

    def _require_room(self, split: SplitName) -> None:
        """Check before reading that a split fits into the memory of this machine."""
        self._require_declared(split)
        present = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if self.nbytes(split) > present:
            raise DataError(
                f"the {split} split of {self.path} takes {self.nbytes(split):,} bytes, and this"
                f" machine has {present:,} bytes of memory",
                remedy="Use a machine with more memory, or fewer rows",
            )

    def _require_declared(self, split: SplitName) -> None:
        """Check before reading that files declare the rows of the manifest.

        A column of equal values takes the same few bytes for any number of rows that it declares.
        """
        columns = {feature.name for feature in self.preprocessor.features}
        columns.add(self.preprocessor.target.name)
        declared = 0
        for path in self.files(split):
            found = pq.read_metadata(path)
            declared += found.num_rows
            fields = {each.name: each.type for each in found.schema.to_arrow_schema()}
            if fields.keys() != columns or not all(map(pa.types.is_primitive, fields.values())):
                raise DataError(
                    f"{path.name} of the {split} split has other columns than its features",
                    remedy=f"Remove {self.path}, and prepare the data again",
                )
        if declared != self.rows[split]:
            raise DataError(
                f"the files of the {split} split have {declared} rows, and the manifest has"
                f" {self.rows[split]}",
                remedy=f"Remove {self.path}, and prepare the data again",
            )

    def decode(self, rows: pa.Table | pa.RecordBatch) -> Examples:
        """Turn rows of the Parquet files into arrays."""
        fitted = self.preprocessor
        numeric = np.empty((rows.num_rows, fitted.shape.numeric), dtype=np.float32)
        for i, feature in enumerate(fitted.numeric_features):
            numeric[:, i] = rows.column(feature.name).to_numpy()
        codes = np.empty((rows.num_rows, len(fitted.shape.cardinalities)), dtype=np.int64)
        for i, feature in enumerate(fitted.categorical_features):
            codes[:, i] = rows.column(feature.name).to_numpy()
        target = np.array(rows.column(fitted.target.name).to_numpy())
        return Examples(Features(numeric, fitted.known_codes(codes)), target)

    def dealt(self) -> Folds | None:
        """The folds of the training rows, in the order of `examples`; None if there are none.

        Raises:
            DataError: their file is absent or does not fit the rows.
        """
        if not self.folds:
            return None
        try:
            table = pq.read_table(self.path / FOLDS)
            held, first, last = (table.column(name).to_numpy() for name in FOLD_COLUMNS.names)
        except (OSError, KeyError, pa.ArrowInvalid) as error:
            raise self._other_folds(str(error)) from error
        whole = table.schema.equals(FOLD_COLUMNS) and len(held) == self.rows["train"]
        if not whole or (first > held).any() or (last < held).any():
            raise self._other_folds(f"{len(held)} rows")
        if first.min() < 0 or last.max() >= self.folds:
            raise self._other_folds(f"folds from {first.min()} to {last.max()}")
        return Folds(self.folds, held, first, last)

    def _other_folds(self, found: str) -> DataError:
        return DataError(
            f"{FOLDS} of {self.path} does not hold {self.folds} folds of {self.rows['train']} rows",
            found=found,
            remedy=f"Remove {self.path}, and prepare the data again",
        )

    def groups(self, split: SplitName) -> pa.Table:
        """Raw group columns of a split, in the order of its rows; no columns if there are none."""
        paths = sorted((self.path / "groups" / split).glob("*.parquet"))
        return pa.concat_tables(map(pq.read_table, paths)) if paths else pa.table({})

    def class_shares(self) -> tuple[float, ...]:
        """Shares of the classes among the training rows, in the order of their codes.

        Raises:
            DataError: files do not hold the rows of the manifest.
        """
        self._require_declared("train")
        target = self.preprocessor.target
        counts = np.zeros(len(target.classes))
        for path in self.files("train"):
            codes = pq.read_table(path, columns=[target.name]).column(0).to_numpy()
            counts += np.bincount(codes, minlength=len(counts))
        return tuple((counts / counts.sum()).tolist())

    def advice(self) -> tuple[Advice, ...]:
        """Advice before training; none if an older rayml prepared the dataset."""
        return read_advice(self.path)

    def test_rows(self) -> pa.Table | None:
        """Raw rows of the test split, about `MAX_TEST_ROWS` at most: every n-th of more.

        Returns:
            None if an older rayml prepared the dataset without them.
        """
        path = self.path / TEST_ROWS
        return pq.read_table(path) if path.is_file() else None

    def save_manifest(self) -> None:
        """Write the manifest, which makes the folder a prepared dataset."""
        manifest = {
            "format": FORMAT,
            "hash": self.hash,
            "source": self.source,
            "rows": self.rows,
            "quarantined": self.quarantined,
            "reasons": self.reasons,
            "timings": self.timings,
            "csv": None if self.csv is None else asdict(self.csv),
            "versions": _versions(),
        }
        if self.folds:
            manifest["folds"] = self.folds
        text = json.dumps(manifest, indent=1) + "\n"
        (self.path / MANIFEST).write_text(text, encoding="utf-8")


def joined(parts: Sequence[Examples]) -> Examples:
    """Examples one after the other; at least one part."""
    if len(parts) == 1:
        return parts[0]
    features = Features(
        np.concatenate([part.features.numeric for part in parts]),
        np.concatenate([part.features.categorical for part in parts]),
    )
    return Examples(features, np.concatenate([part.target for part in parts]))


def open_prepared(path: Path) -> PreparedDataset:
    """Open a prepared dataset.

    Raises:
        DataError: there is none in the folder, or a newer rayml wrote it.
    """
    try:
        manifest: dict[str, Any] = json.loads(read_bounded(path / MANIFEST, _MOST_BYTES))
        _MANIFEST.validate_python(manifest, strict=True)
    except (OSError, TooLargeError, ValueError, RecursionError) as error:
        raise DataError(
            f"the manifest of the prepared dataset {path} cannot be read ({error})",
            remedy=f"Remove {path}, and prepare the data again",
        ) from error
    if manifest.get("format") != FORMAT:
        raise DataError(
            f"the prepared dataset {path} has the format {manifest.get('format')}, and this rayml"
            f" reads format {FORMAT}",
            remedy=f"Remove {path}, and prepare the data again",
        )
    absent = sorted(_KEYS - manifest.keys())
    if absent:
        raise DataError(
            f"the manifest of the prepared dataset {path} lacks {', '.join(absent)}",
            remedy=f"Remove {path}, and prepare the data again",
        )
    return PreparedDataset(
        path=path,
        hash=manifest["hash"],
        source=manifest["source"],
        preprocessor=Preprocessor.load(path / "preprocessor"),
        rows=manifest["rows"],
        quarantined=manifest["quarantined"],
        reasons=manifest["reasons"],
        timings=manifest["timings"],
        csv=CsvSettings(**csv) if (csv := manifest.get("csv")) else None,
        folds=manifest.get("folds", 0),
    )


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("rayml", "ray", "pyarrow", "numpy")}
