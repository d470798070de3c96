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
    given = {"target": "y", "task": "binary", "rows": 50} | changes
    return preview(
        FileSource(str(path / "rows.parquet"), "parquet"),
        schema=SchemaSettings(),
        split=SplitSettings(),
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
