"""Vectors are computed once for each text, kept within bounds, and found again."""

from __future__ import annotations

import pickle
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rayml.data.statistics.vectors import VectorStatistics
from rayml.data.text.encoder import TextEncoder
from rayml.data.text.folder import read_folder
from rayml.data.text.reader import Projection, TextReader
from rayml.data.text.stored import NewEncoder, StoredEncoder
from rayml.data.text.vectors import DiskVectors, MemoryVectors
from rayml.errors import DataError
from tests.data.text import tiny

pytest.importorskip("tokenizers")


@pytest.fixture
def encoder(tmp_path: Path) -> StoredEncoder:
    new = NewEncoder.of(read_folder(tiny.static(tmp_path / "source"), 16))
    (tmp_path / "stored").mkdir()
    new.store(tmp_path / "stored")
    return StoredEncoder(tmp_path / "stored", new.digest)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are computed rather than looked up."""
    seen: list[str] = []
    encode = TextEncoder.encode
    monkeypatch.setattr(
        TextEncoder, "encode", lambda self, texts: seen.extend(texts) or encode(self, texts)
    )
    return seen


def test_memory_keeps_the_latest_texts(encoder: StoredEncoder, computed: list[str]) -> None:
    vectors = MemoryVectors(encoder, most=2)
    first = vectors(["good", "bad"])
    again = vectors(["bad", "good"])
    assert computed == ["good", "bad"]
    assert again.vectors.tobytes() == first.vectors[::-1].tobytes()
    vectors(["good"])
    vectors(["food"])  # in the place of `bad`, which was asked for before `good`
    vectors(["good", "bad"])
    assert computed == ["good", "bad", "food", "bad"]
    many = vectors([f"good {n}" for n in range(50)])
    assert (len(many.vectors), len(vectors._kept)) == (50, 2)
    assert pickle.loads(pickle.dumps(vectors))._kept == {}


def test_a_file_keeps_all_texts_for_other_processes(
    encoder: StoredEncoder, computed: list[str], tmp_path: Path
) -> None:
    texts = [*tiny.TEXTS, *(f"good {n}" for n in range(1200))]
    vectors = DiskVectors(encoder, tmp_path / "vectors.sqlite")
    first = vectors(texts)
    again = pickle.loads(pickle.dumps(vectors))(texts[::-1])
    assert computed == texts
    assert again.vectors.tobytes() == first.vectors[::-1].tobytes()
    assert again.tokens.tolist() == first.tokens[::-1].tolist()
    assert first.vectors.tobytes() == MemoryVectors(encoder)(texts).vectors.tobytes()


def test_a_torn_file_of_vectors_is_named(encoder: StoredEncoder, tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    path.write_text("no database, but long enough to be one" * 100)
    with pytest.raises(DataError, match=r"kept vectors of texts.*vectors.sqlite.*Remove the file"):
        DiskVectors(encoder, path)(["good"])
    path.unlink()
    DiskVectors(encoder, path)(["good"])
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE vectors SET vector = x'0000'")
    with pytest.raises(DataError, match="a vector has 2 bytes, not 64"):
        DiskVectors(encoder, path)(["good"])


def test_missing_and_empty_texts_have_no_numbers(
    encoder: StoredEncoder, computed: list[str]
) -> None:
    reader = TextReader(MemoryVectors(encoder), 16, 16, missing=("?",))
    found = reader.read([None, "", " \n\t", "?", "good", "good", "\u0007"])
    missing = [True] * 4 + [False] * 3
    assert np.isnan(found.numbers).all(axis=1).tolist() == missing
    assert np.isnan(found.tokens).tolist() == missing
    assert computed == ["good", "\u0007"]
    assert not found.numbers[-1].any()  # a text without a token is not missing
    column = pa.chunked_array([["good", None], ["?", "good"]])
    again = reader.read_column(column)
    assert np.array_equal(again.numbers[[0, 3]], found.numbers[[4, 5]])
    assert np.isnan(again.numbers[1:3]).all()
    assert reader.read_column(pa.chunked_array([], pa.string())).numbers.shape == (0, 16)


def test_directions_are_the_principal_components() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 8)) + 5  # in three dimensions
    whole = VectorStatistics.of(rows)
    parts = [VectorStatistics.of(part) for part in np.array_split(rows, [0, 1, 200])]
    merged = parts[0].merge(parts[1]).merge(parts[2]).merge(parts[3])
    np.testing.assert_allclose(merged.mean, rows.mean(0))
    np.testing.assert_allclose(merged.products, whole.products, atol=1e-9)
    restored = VectorStatistics.from_state(merged.state().to_pylist()[0])
    directions = restored.directions(5)
    assert directions.shape == (3, 8)
    np.testing.assert_allclose(directions @ directions.T, np.eye(3), atol=1e-12)
    projected = Projection(restored.mean, directions)(rows.astype(np.float32))
    variances = np.linalg.eigvalsh(np.cov(rows.T))[::-1][:3]
    np.testing.assert_allclose(projected.var(axis=0, ddof=1), variances, rtol=1e-5)
    assert VectorStatistics.of(np.ones((4, 8))).directions(5).shape == (1, 8)
    assert VectorStatistics.of(np.empty((0, 8))).directions(5).shape == (1, 8)


def test_a_projection_gives_each_text_the_same_bits() -> None:
    rng = np.random.default_rng(1)
    project = Projection(rng.normal(size=384), rng.normal(size=(64, 384)))
    vectors = rng.normal(size=(40, 384)).astype(np.float32)
    together = project(vectors)
    assert all(project(vectors[i : i + 1]).tobytes() == together[i].tobytes() for i in range(40))
