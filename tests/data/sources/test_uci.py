from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rayml.data.columns.origin import LINE, MALFORMED
from rayml.data.sources import uci
from rayml.data.sources.uci import ADULT_COLUMNS, AdultSource, OnlineShoppersSource
from rayml.errors import SourceError


def adult(source: AdultSource) -> pa.Table:
    return pa.concat_tables(uci._read_adult(source._files, source._validation))


def test_adult_is_as_published(shared_data: Path) -> None:
    table = adult(AdultSource(shared_data / "adult", download=False))
    assert table.column_names[:16] == [*ADULT_COLUMNS, "split"]
    assert table[MALFORMED].null_count == len(table) == 48842
    counts = {r["values"]: r["counts"] for r in table["split"].value_counts().to_pylist()}
    assert counts == {"train": 32561, "test": 16281}
    labels = {r["values"]: r["counts"] for r in table["income"].value_counts().to_pylist()}
    assert labels == {"<=50K": 37155, ">50K": 11687}
    missing = {name: table[name].null_count for name in ADULT_COLUMNS if table[name].null_count}
    assert missing == {"workclass": 2799, "occupation": 2809, "native-country": 857}
    assert table[LINE][32561].as_py() == 2  # the first line of adult.test is a comment


def test_adult_takes_a_published_validation_index(shared_data: Path) -> None:
    folder = shared_data / "adult"
    source = AdultSource(folder, download=False, validation_index="idx_val.npy")
    splits = adult(source)["split"].to_numpy(zero_copy_only=False)
    assert set(np.flatnonzero(splits == "validation")) == set(np.load(folder / "idx_val.npy"))
    assert set(np.flatnonzero(splits == "train")) == set(np.load(folder / "idx_train.npy"))
    assert source.fingerprint() != AdultSource(folder, download=False).fingerprint()


@pytest.mark.parametrize("index", [[0, 0], [-1], [32561], [[1]], [0.5]])
def test_a_wrong_validation_index_is_an_error(
    tmp_path: Path, index: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "i.npy", np.array(index))
    with pytest.raises(SourceError, match="validation rows"):
        _ = AdultSource(tmp_path, validation_index="i.npy")._validation


def test_an_absent_validation_index_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"i\.npy"):
        _ = AdultSource(tmp_path, validation_index="i.npy")._validation


@pytest.mark.parametrize("kind", [AdultSource, OnlineShoppersSource])
def test_absent_files_are_named_with_their_url(kind: type, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        kind(tmp_path, download=False).fingerprint()
    assert "https://archive.ics.uci.edu/static/public/" in str(caught.value)
    assert str(tmp_path) in str(caught.value)
