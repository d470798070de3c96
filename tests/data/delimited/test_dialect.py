from __future__ import annotations

import pydantic
import pytest

from rayml.data.delimited.dialect import CsvSettings


def test_defaults_are_those_of_rfc_4180() -> None:
    dialect = CsvSettings()
    assert (dialect.delimiter, dialect.quote, dialect.encoding) == (",", '"', "utf-8")
    assert "" in dialect.nulls


@pytest.mark.parametrize(
    "wrong",
    [
        {"delimiter": ""},
        {"delimiter": ",,"},
        {"delimiter": "\n"},
        {"delimiter": "é"},
        {"quote": "\r"},
        {"comment": ","},
        {"quote": ","},
        {"delimiter": " ", "strip": True},
        {"encoding": "klingon"},
        {"skip_lines": -1},
        {"separator": ";"},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(pydantic.ValidationError):
        CsvSettings(**wrong)


def test_encodings_go_by_one_name() -> None:
    assert CsvSettings(encoding="UTF8").encoding == "utf-8"
