from __future__ import annotations

import pytest

from rayml.data.sources.bundled import SklearnSource
from rayml.data.sources.files import FileSource
from rayml.data.sources.sources import Source, missing_tokens
from rayml.data.sources.sql import SqlSource
from rayml.data.sources.uci import AdultSource, OnlineShoppersSource


@pytest.mark.parametrize(
    "kind", [FileSource, SklearnSource, SqlSource, AdultSource, OnlineShoppersSource]
)
def test_every_source_keeps_the_protocol(kind: type) -> None:
    assert issubclass(kind, Source)


def test_a_source_tells_its_tokens_or_its_dialect_does() -> None:
    class Own:
        missing = ("-",)

    assert missing_tokens(Own()) == ("-",)  # type: ignore[arg-type]
    assert missing_tokens(object()) == ()  # type: ignore[arg-type]
    csv = FileSource("rows.csv", csv={"nulls": ["?", ""]})
    assert missing_tokens(csv) == ("?", "")
    assert missing_tokens(FileSource("rows.parquet", format="parquet")) == ()
    assert missing_tokens(AdultSource("nowhere", download=False)) == ("?",)
    assert "NA" in missing_tokens(OnlineShoppersSource("nowhere", download=False))
