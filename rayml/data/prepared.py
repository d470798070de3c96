"""The prepared dataset: a folder that holds the fitted preprocessor and the transformed splits.

manifest.json            what it is, written last: `rows`, `quarantined`, versions, timings
preprocessor/            state of the fitted preprocessor, schema included
examples/<split>/        Parquet: a column for each feature, and the encoded target
groups/<split>/          Parquet: the raw group columns, in the same order of rows
rows/test.parquet        raw test rows, some of them where they are many
quarantine.parquet       bad rows, if there are any
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from rayml.data.dialect import CsvSettings
from rayml.data.preprocess import Preprocessor
from rayml.data.schema import FeatureSchema
from rayml.errors import DataError
from rayml.types import Examples, Features, SplitName

FORMAT = 1
MANIFEST = "manifest.json"
QUARANTINE = "quarantine.parquet"
TEST_ROWS = "rows/test.parquet"
MAX_TEST_ROWS = 10_000
_SAMPLED_FILES = 8


@dataclass(frozen=True)
class PreparedDataset:
    """Prepared splits in a folder.

    Attributes:
        path: of the folder.
        hash: of the configuration, the source's fingerprint and the format.
        source: fingerprint of the rows that it was made of.
        preprocessor: fitted on the training split.
        rows: number of rows by split.
        quarantined: number of bad rows that were left out.
        reasons: their number by what is wrong with them.
        timings: seconds by stage of preparing.
        reused: whether it was found rather than made.
        csv: how the files that it was made of are written; None if they are no CSV, or an older
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

    @property
    def schema(self) -> FeatureSchema:
        """Columns of the raw data."""
        return self.preprocessor.schema

    @property
    def quarantine(self) -> Path | None:
        """The file of bad rows, see `rayml.data.coerce.BAD_ROWS`; None if there are none."""
        return self.path / QUARANTINE if self.quarantined else None

    def files(self, split: SplitName) -> list[Path]:
        """Parquet files of a split in the order of its rows."""
        return sorted((self.path / "examples" / split).glob("*.parquet"))

    def nbytes(self, split: SplitName) -> int:
        """Bytes that `examples` of a split takes in memory."""
        shape, task = self.preprocessor.shape, self.preprocessor.target.task
        target = 4 if task == "regression" else 8
        row = 4 * shape.numeric + 8 * len(shape.cardinalities) + target
        return self.rows[split] * row

    def examples(self, split: SplitName) -> Examples:
        """Read a whole split into contiguous arrays.

        Raises:
            DataError: files do not hold the rows that the manifest says.
        """
        parts = [self.decode(pq.read_table(path)) for path in self.files(split)]
        if sum(map(len, parts)) != self.rows[split]:
            raise DataError(
                f"the split {split} has {self.rows[split]} rows",
                value=sum(map(len, parts)),
                remedy=f"Remove {self.path} and prepare the data again",
            )
        return joined(parts)

    def code_counts(self, split: SplitName) -> list[npt.NDArray[np.int64]]:
        """Number of rows of a split by code, for each categorical column."""
        names = [feature.name for feature in self.preprocessor.categorical_features]
        counts = [np.zeros(n, np.int64) for n in self.preprocessor.shape.cardinalities]
        for path in self.files(split) if names else []:
            table = pq.read_table(path, columns=names)
            for place, name in enumerate(names):
                codes = table.column(name).to_numpy()
                counts[place] += np.bincount(codes, minlength=len(counts[place]))
        return counts

    def sample(self, split: SplitName, rows: int) -> Examples:
        """Read about so many rows from all over a split; a few of its files suffice."""
        files = self.files(split)
        places = np.unique(np.linspace(0, len(files) - 1, _SAMPLED_FILES).astype(int))
        parts = []
        for place in places.tolist():
            table = pq.read_table(files[place])
            count = min(table.num_rows, -(-rows // len(places)))
            chosen = np.linspace(0, max(table.num_rows - 1, 0), count).astype(int)
            parts.append(self.decode(table.take(chosen)))
        return joined(parts)

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

    def groups(self, split: SplitName) -> pa.Table:
        """Raw group columns of a split, in the order of its rows; no columns if there are none."""
        paths = sorted((self.path / "groups" / split).glob("*.parquet"))
        return pa.concat_tables(map(pq.read_table, paths)) if paths else pa.table({})

    def test_rows(self) -> pa.Table | None:
        """Raw rows of the test split, at most `MAX_TEST_ROWS` and some; every n-th of more.

        Returns:
            None of a dataset that was prepared before they were kept.
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
        manifest: dict[str, Any] = json.loads((path / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(
            f"a prepared dataset has a manifest ({error})",
            value=str(path),
            remedy=f"Remove {path} and prepare the data again",
        ) from error
    if manifest.get("format") != FORMAT:
        raise DataError(
            f"the format of a prepared dataset is {FORMAT}",
            value=manifest.get("format"),
            remedy=f"Remove {path} and prepare the data again",
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
    )


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("rayml", "ray", "pyarrow", "numpy")}
