"""No value of a private column, an identifier or a column of many values leaves the endpoint."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from rayml.data.rows.coerce import Coercer
from rayml.data.rows.infer_schema import infer_schema
from rayml.data.rows.quarantine import BadRows
from rayml.errors import SchemaError
from rayml.registry.bundle.bundle import Bundle, load_bundle
from rayml.serve.app.app import EndpointApp
from rayml.serve.model.served import ServedModel
from rayml.serve.model.serving import OneVersion
from rayml.serve.predict.predictor import Predictor
from rayml.settings.data import SchemaSettings
from rayml.settings.serve import ServeSettings
from rayml.testing.bundles import untrained_bundle
from tests.serve.asgi import call

ROWS = 600
TABLE = pa.table(
    {
        "plan": ["basic", "plus", "gold"] * 200,
        "customer": [f"SECRET-{number % 10}" for number in range(ROWS)],
        "salary": [70_000_123.25 + number % 7 for number in range(ROWS)],
        "member": [number % 2 == 0 for number in range(ROWS)],
        "account_id": [f"ACCOUNT-{number % 10}" for number in range(ROWS)],
        "row": [9_000_123 + number for number in range(ROWS)],
        "street": [f"STREET-{number % 150}" for number in range(ROWS)],
        "distance": [1234.0625 + number * 1.03125 for number in range(ROWS)],
        "left": ["yes", "no"] * 300,
    }
)
PRIVATE = SchemaSettings(
    private=("customer", "salary", "member"),
    kinds={"account_id": "categorical", "row": "numeric", "street": "categorical"},
)
# 1234.0625 is the least distance and 1851.7… the greatest; the coarse range ends elsewhere.
HIDDEN = re.compile(
    r"SECRET-|ACCOUNT-|STREET-|7000012|70000\.?12|90001|90007|1234\.06|1851\.|1543\."
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundles") / "b"
    untrained_bundle(folder, TABLE, target="left", task="binary", schema=PRIVATE)
    return load_bundle(folder)


def app_of(bundle: Bundle) -> EndpointApp:
    model = ServedModel(Predictor(bundle), version="3", settings=ServeSettings())
    return EndpointApp(OneVersion(model), settings=ServeSettings())


def published(app: EndpointApp) -> dict[str, str]:
    """Everything that the endpoint says by itself, by path."""
    paths = ("/", "/metadata", "/openapi.json", "/docs", "/v2", "/v2/models/model")
    texts = {path: call(app, "GET", path).text for path in paths}
    body = json.dumps({"plan": "gold"}).encode()
    for path in ("/predict", "/explain"):
        texts[path] = call(app, "POST", path, content=body).text
    wrong = json.dumps({"customers": "x"}).encode()
    texts["an error"] = call(app, "POST", "/predict", content=wrong).text
    return texts


def test_nothing_hidden_is_published(bundle: Bundle) -> None:
    texts = published(app_of(bundle))
    texts["card"] = (bundle.folder / "MODEL_CARD.md").read_text()
    for name, text in texts.items():
        found = HIDDEN.search(text)
        assert found is None, (name, found)
    assert "basic" in texts["/metadata"]
    assert "basic" in texts["card"]
    columns = {each["name"]: each for each in json.loads(texts["/metadata"])["inputs"]}
    assert {name: column["withheld"] for name, column in columns.items()} == {
        "plan": None,
        **dict.fromkeys(("customer", "salary", "member"), "private"),
        **dict.fromkeys(("account_id", "row"), "identifier"),
        **dict.fromkeys(("street", "distance"), "many"),
    }
    assert columns["member"]["example"] is None


def test_the_profile_and_the_table_of_columns_tell_nothing_of_them(bundle: Bundle) -> None:
    schema = bundle.preprocessor().schema
    profile = bundle.preprocessor().profile()
    for name in ("customer", "salary", "member", "account_id", "row"):
        assert set(profile[name]) == {"kind", "count", "missing", "example"}
        (summary,) = (each for each in schema.summaries if each.name == name)
        assert summary.examples == ()
        assert summary.distinct > 1
    assert profile["plan"]["categories"] == {"basic": 200, "gold": 200, "plus": 200}


def test_a_bundle_of_an_older_rayml_publishes_no_long_list(bundle: Bundle) -> None:
    old = tuple(replace(column, withheld=None) for column in bundle.signature.inputs)
    texts = published(app_of(replace(bundle, signature=replace(bundle.signature, inputs=old))))
    for text in texts.values():
        assert not re.search("STREET-|ACCOUNT-", text)


def test_messages_about_bad_rows_mask_private_values() -> None:
    schema = infer_schema(TABLE, target="left", settings=PRIVATE)
    salaries = pa.array(["rich"] + ["1"] * (ROWS - 1))
    reasons = pa.array([None, "1 fields, expected 9: 'SECRET-9'"] + [None] * (ROWS - 2))
    raw = TABLE.set_column(2, "salary", salaries).append_column("__malformed__", reasons)
    _, bad = Coercer(schema, required=("left",))(raw)
    told = str(BadRows.of(bad).error(ROWS)) + str(bad.to_pylist())
    assert "salary" in told
    assert "rich" not in told
    assert "SECRET" not in told


def test_private_columns_are_columns_and_not_the_target() -> None:
    with pytest.raises(SchemaError, match=r"schema\.private.*custommer"):
        infer_schema(TABLE, target="left", settings=SchemaSettings(private=("custommer",)))
    with pytest.raises(SchemaError, match="the target 'left' is private"):
        infer_schema(TABLE, target="left", settings=SchemaSettings(private=("left",)))


def test_what_was_fitted_before_is_still_read(bundle: Bundle, tmp_path: Path) -> None:
    preprocessor = bundle.preprocessor()
    preprocessor.save(tmp_path)
    state = json.loads((tmp_path / "preprocessor.json").read_text())
    for key in ("private", "identifiers", "max_published"):
        del state["schema"][key]
    (tmp_path / "preprocessor.json").write_text(json.dumps(state))
    schema = type(preprocessor).load(tmp_path).schema
    assert (schema.private, schema.identifiers, schema.max_published) == ((), (), 100)
