"""Two data sets of the UCI Machine Learning Repository."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rayml.data.columns.split_names import SPLIT
from rayml.data.delimited import csv_reader
from rayml.data.delimited.dialect import CsvSettings
from rayml.data.sources.archive import Archive
from rayml.data.sources.tables import dataset_of
from rayml.errors import SourceError

if TYPE_CHECKING:
    import ray.data

ADULT = Archive(
    url="https://archive.ics.uci.edu/static/public/2/adult.zip",
    members={
        "adult.data": "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
        "adult.test": "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
    },
    other={},
)
ADULT_COLUMNS = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education-num",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital-gain",
    "capital-loss",
    "hours-per-week",
    "native-country",
    "income",
)
ADULT_DIALECT = CsvSettings(columns=ADULT_COLUMNS, nulls=("?",), strip=True, comment="|")
ADULT_ROWS = 32_561  # of adult.data
SHOPPERS = Archive(
    url="https://archive.ics.uci.edu/static/public/468/"
    "online+shoppers+purchasing+intention+dataset.zip",
    members={
        "online_shoppers_intention.csv": (
            "b3055ee355f59134d851d32641183cb4a8b45def7124d2f50442a042f358e0d9"
        ),
    },
    # An earlier publication, with 112 empty cells and durations of -1.
    other={
        "online_shoppers_intention.csv": (
            "9cda002173422ffbd455fbedcb378cd8b7cea1e6b727faaa39aec08d087d8120"
        ),
    },
)


class AdultSource:
    """Adult, also known as Census Income (Becker & Kohavi 1996, doi:10.24432/C5XW20).

    All columns are strings. `?` is missing. `income` is `<=50K` or `>50K`: the full stop that
    ends the labels of `adult.test` is removed. Column `split` is `train` or `test` by the file of
    the row, or `validation` by the given index.

    Args:
        folder: of `adult.data` and `adult.test`.
        download: whether absent files are downloaded.
        validation_index: file in `folder` with the indices of the validation rows of
            `adult.data`: a NumPy array of int, shape [rows], as in the splits of Gorishniy et al.
            (2021, "Revisiting Deep Learning Models for Tabular Data").
    """

    def __init__(
        self, folder: str | Path, download: bool = True, validation_index: str | None = None
    ) -> None:
        self._folder = Path(folder).expanduser().absolute()
        self._download = download
        self._validation_index = validation_index

    @property
    def dialect(self) -> CsvSettings:
        """Dialect of the files."""
        return ADULT_DIALECT

    def fingerprint(self) -> str:
        """Hash of the contents of all files."""
        return _fingerprint("adult", self._files, self._validation)

    def read(self) -> ray.data.Dataset:
        """Rows of both files."""
        names = (*ADULT_COLUMNS, SPLIT)
        reader = partial(_read_adult, self._files, self._validation)
        return dataset_of("ReadAdult", [reader], csv_reader.table_schema(names))

    @cached_property
    def _files(self) -> dict[str, tuple[Path, str]]:
        return ADULT.files(self._folder, download=self._download)

    @cached_property
    def _validation(self) -> npt.NDArray[np.int64] | None:
        if self._validation_index is None:
            return None
        path = self._folder / self._validation_index
        try:
            index = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise SourceError(
                f"the index of validation rows {path} cannot be read as a .npy file ({error})",
                remedy="Put it there, or set data.source.validation_index=null",
            ) from error
        rows = np.unique(index) if index.dtype.kind in "iu" else None
        if rows is None or rows.shape != index.shape or not set(rows) <= set(range(ADULT_ROWS)):
            raise SourceError(
                f"the index of validation rows {path} repeats a row of adult.data, or names one"
                " that it lacks",
                remedy=f"Write different whole numbers from 0 to {ADULT_ROWS - 1} into it",
            )
        return rows.astype(np.int64)


class OnlineShoppersSource:
    """Online Shoppers Purchasing Intention (Sakar et al. 2019, doi:10.24432/C5F88Q).

    All columns are strings, empty cells are null. An earlier publication, which is accepted if it
    is present, has 112 empty cells and some durations of -1. They stay -1: a source that replaced
    them would train a model on other values than the endpoint's clients send.

    Args:
        folder: of `online_shoppers_intention.csv`.
        download: whether an absent file is downloaded.
    """

    def __init__(self, folder: str | Path, download: bool = True) -> None:
        self._folder = Path(folder).expanduser().absolute()
        self._download = download

    @property
    def dialect(self) -> CsvSettings:
        """Dialect of the file."""
        return CsvSettings()

    def fingerprint(self) -> str:
        """Hash of the file's content."""
        return _fingerprint("online_shoppers", self._files, None)

    def read(self) -> ray.data.Dataset:
        """Rows of the file."""
        ((path, _),) = self._files.values()
        dialect = CsvSettings()
        with path.open("rb") as stream:
            columns = csv_reader.read_header(stream, dialect) or ()
        reader = partial(_read, path, dialect, columns)
        return dataset_of("ReadOnlineShoppers", [reader], csv_reader.table_schema(columns))

    @cached_property
    def _files(self) -> dict[str, tuple[Path, str]]:
        return SHOPPERS.files(self._folder, download=self._download)


def _fingerprint(
    name: str, files: dict[str, tuple[Path, str]], validation: npt.NDArray[np.int64] | None
) -> str:
    parts: list[Any] = [name, {file: digest for file, (_, digest) in files.items()}]
    parts.append(None if validation is None else validation.tolist())
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _read(path: Path, dialect: CsvSettings, columns: tuple[str, ...]) -> Iterator[pa.Table]:
    with path.open("rb") as stream:
        yield from csv_reader.read_tables(stream, dialect, file=str(path), columns=columns)


def _read_adult(
    files: dict[str, tuple[Path, str]], validation: npt.NDArray[np.int64] | None
) -> Iterator[pa.Table]:
    first = 0
    for name, part in (("adult.data", "train"), ("adult.test", "test")):
        for table in _read(files[name][0], ADULT_DIALECT, ADULT_COLUMNS):
            splits = np.full(len(table), part, dtype=object)
            if validation is not None and part == "train":
                rows = np.arange(first, first + len(table))
                splits[np.isin(rows, validation)] = "validation"
                first += len(table)
            yield _adult(table, splits)


def _adult(table: pa.Table, splits: npt.NDArray[np.object_]) -> pa.Table:
    income = table.schema.get_field_index("income")
    labels = pc.utf8_rtrim(table["income"], ".")
    table = table.set_column(income, "income", labels)
    return table.add_column(len(ADULT_COLUMNS), SPLIT, pa.array(splits, pa.string()))
