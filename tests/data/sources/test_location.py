from __future__ import annotations

from pathlib import Path

import pytest

from rayml.data.sources.location import find_files, safe
from rayml.errors import SourceError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "b.csv",
        "a.CSV.gz",
        "note.md",
        "_tmp.csv",
        ".hidden/c.csv",
        "deep/er/d.tsv",
        "e.parquet",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def names(root: Path, *paths: str, kind: str = "csv") -> list[str]:
    found = find_files([str(root / path) for path in paths], kind)
    return [Path(file.path).relative_to(root).as_posix() for file in found]


def test_a_file_is_itself_whatever_its_name(tree: Path) -> None:
    assert names(tree, "note.md") == ["note.md"]


def test_a_folder_is_its_files_of_the_format(tree: Path) -> None:
    assert names(tree, "") == ["a.CSV.gz", "b.csv", "deep/er/d.tsv"]
    assert names(tree, "", kind="parquet") == ["e.parquet"]


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*.csv", ["_tmp.csv", "b.csv"]),
        ("**/*.tsv", ["deep/er/d.tsv"]),
        ("deep/*/d.?sv", ["deep/er/d.tsv"]),
        ("[ab].csv", ["b.csv"]),
    ],
)
def test_globs(tree: Path, glob: str, expected: list[str]) -> None:
    assert names(tree, glob) == expected


def test_a_name_with_wildcards_that_exists_is_no_glob(tmp_path: Path) -> None:
    (tmp_path / "x[1].csv").write_text("a\n")
    (tmp_path / "x1.csv").write_text("a\n")
    assert names(tmp_path, "x[1].csv") == ["x[1].csv"]


def test_a_file_named_twice_is_read_once(tree: Path) -> None:
    assert names(tree, "b.csv", "*.csv") == ["b.csv", "_tmp.csv"]


@pytest.mark.parametrize("scheme", ["file", "local"])  # pyarrow's own, and one of fsspec's
@pytest.mark.parametrize("path", ["b.csv", "", "*.csv"])
def test_urls_find_what_paths_find(tree: Path, scheme: str, path: str) -> None:
    by_url = find_files(f"{scheme}://{tree}/{path}".rstrip("/"), "csv")
    by_path = find_files(str(tree / path), "csv")
    assert [f.path for f in by_url] == [f.path for f in by_path]
    assert [f.size for f in by_url] == [1] * len(by_path)


def test_hive_partitions_below_the_named_folder_only(tmp_path: Path) -> None:
    folder = tmp_path / "lr=0.1" / "year=2024" / "city=K%C3%B6ln"
    other = tmp_path / "lr=0.1" / "year=2025" / "city=__HIVE_DEFAULT_PARTITION__"
    for path in (folder, other):
        path.mkdir(parents=True)
        (path / "part.csv").write_text("a\n1\n")
    expected = [
        (("year", "2024"), ("city", "Köln")),
        (("year", "2025"), ("city", None)),
    ]
    for path in ("lr=0.1", "lr=0.1/year=*/**/*.csv"):
        assert [file.partitions for file in find_files(str(tmp_path / path), "csv")] == expected
    assert find_files(str(folder / "part.csv"), "csv")[0].partitions == ()


def test_partitions_must_be_alike(tmp_path: Path) -> None:
    for name in ("a=1/x.csv", "b=1/x.csv"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("c\n")
    with pytest.raises(SourceError, match="same levels"):
        find_files(str(tmp_path), "csv")


@pytest.mark.parametrize("path", ["absent.csv", "absent/*.csv", "*.nothing", ".hidden/_x"])
def test_a_path_to_nothing_is_an_error(tree: Path, path: str) -> None:
    with pytest.raises(SourceError, match=r"file not found|no file matches|cannot be opened"):
        find_files(str(tree / path), "csv")


def test_no_path_is_an_error() -> None:
    with pytest.raises(SourceError, match="names no file"):
        find_files([], "csv")


def test_an_unknown_scheme_is_an_error_without_its_secrets() -> None:
    with pytest.raises(SourceError) as caught:
        find_files("gopher://me:hunter2@host/x.csv?sig=s3cret", "csv")
    assert "hunter2" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_safe_takes_credentials_out() -> None:
    assert safe("ftp://u:p@h/x") == "ftp://h/x"
    assert safe("http://h/x.csv?X-Sig=abc&t=1") == "http://h/x.csv"
    assert safe("/plain/p@th?.csv") == "/plain/p@th?.csv"
