from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayml.data.prepare.preview import Preview, preview
from rayml.data.sources.files import FileSource
from rayml.errors import DataError, SchemaError
from rayml.settings.data import PreprocessSettings, SchemaSettings, SplitSettings

pytestmark = pytest.mark.usefixtures("ray_session")


def look(path: Path, columns: dict[str, Any], **changes: Any) -> Preview:
    pq.write_table(pa.table(columns), path / "rows.parquet")
    given = {"target": "y", "task": "binary", "rows": 50, "split": SplitSettings()} | changes
    return preview(
        FileSource(str(path / "rows.parquet"), "parquet"),
        schema=SchemaSettings(),
        preprocess=PreprocessSettings(),
        **given,
    )


def test_the_first_rows_are_prepared(tmp_path: Path) -> None:
    seen = look(tmp_path, {"x": np.arange(200) + 0.5, "y": ["a", "b"] * 100})
    assert len(seen.examples) == 50
    assert seen.preprocessor.target.classes == ("a", "b")
    assert seen.preprocessor.profile()["x"]["maximum"] == 49.5


def test_rows_that_are_sorted_by_class_are_no_error(tmp_path: Path) -> None:
    seen = look(tmp_path, {"x": np.arange(200.0), "y": ["a"] * 100 + ["b"] * 100})
    assert seen.preprocessor.target.classes == ("a", "b")
    assert len(seen.examples) == 50


def test_what_no_rows_can_mend_is_told(tmp_path: Path) -> None:
    columns = {"x": np.arange(200.0), "y": ["a"] * 200}
    with pytest.raises(DataError, match=r"column 'y' has 1 class .*binary takes 2"):
        look(tmp_path, columns)
    with pytest.raises(SchemaError, match="target names a column that the data lack: 'z'"):
        look(tmp_path, columns, target="z")


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"folds": 7}, "more than the 6 rows of class 'b'"),
        ({"folds": 5, "method": "group", "column": "g"}, "more than the 4 groups in column 'g'"),
        ({"folds": 3, "method": "time", "column": "x", "gap": 90.0}, "gap=90 leaves no rows"),
    ],
)
def test_a_small_table_that_makes_no_folds_is_told(
    tmp_path: Path, split: dict[str, Any], message: str
) -> None:
    columns = {"x": np.arange(40.0), "y": ["a"] * 34 + ["b"] * 6, "g": ["p", "q", "r", "s"] * 10}
    with pytest.raises(DataError, match=message):
        look(tmp_path, columns, split=SplitSettings(**split))
    # Of a table that is not seen as a whole nothing is known yet.
    look(tmp_path, columns, split=SplitSettings(**split), rows=39)
