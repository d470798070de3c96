"""States of preprocessors: what they write is taken, whatever else is refused by its key."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from rayml.data.fit.observe import observe
from rayml.data.fit.preprocess import Preprocessor
from rayml.data.fit.preprocessor_state import require_state
from rayml.data.rows.infer_schema import infer_schema
from rayml.errors import DataError
from rayml.settings.data import PreprocessSettings, SchemaSettings

PATH = Path("preprocessor.json")


@pytest.fixture(params=["standard", "quantile", "none"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    seen = pa.array([0, None, 10**15, 10**14], pa.timestamp("us", tz="UTC"))
    table = pa.table(
        {
            "x": [1.0, None, 3.0, 4.0],
            "empty": pa.nulls(4, pa.float64()),
            "b": [True, None, False, True],
            "c": ["u", "v", None, "u"],
            "t": seen,
            "y": ["a", "b", "a", "b"],
        }
    )
    kinds = SchemaSettings(kinds={"empty": "numeric"})
    schema = infer_schema(table, target="y", settings=kinds)
    settings = PreprocessSettings(numeric=request.param)
    fitted = Preprocessor.fit(schema, observe(table, schema, "binary"), settings, "binary")
    fitted.save(tmp_path)
    found: dict[str, Any] = json.loads((tmp_path / "preprocessor.json").read_text())
    return found


def test_what_is_written_is_taken(state: dict[str, Any]) -> None:
    require_state(state, PATH)
    require_state({**state, "of a later rayml": 1}, PATH)


EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "no target": lambda state: state.pop("target"),
    "a task": lambda state: state["target"].update(task="os.system"),
    "a class": lambda state: state["target"].update(classes=["a", None]),
    "a class twice": lambda state: state["target"].update(classes=["a", "a"]),
    "a kind": lambda state: state["schema"]["columns"][0].update(kind="code"),
    "a column more": lambda state: state["schema"]["columns"].append(
        {"name": "z", "kind": "numeric"}
    ),
    "a transform less": lambda state: state["numeric"].pop(),
    "a transform twice": lambda state: state["numeric"].append(state["numeric"][0]),
    "a flag": lambda state: state["categorical"][0].update(missing=10**9),
    "categories": lambda state: state["categorical"][0].update(categories=10**9),
    "a number": lambda state: state["timestamps"][0]["day"].update(scale="1"),
    "an indicator": lambda state: state.update(indicators=["z"]),
    "a list": lambda state: state.update(numeric={"_target_": "os.system"}),
}


@pytest.mark.parametrize("what", EDITS)
def test_what_is_not_is_refused(state: dict[str, Any], what: str) -> None:
    changed = copy.deepcopy(state)
    EDITS[what](changed)
    with pytest.raises(DataError, match=r"preprocessor\.json"):
        require_state(changed, PATH)
