from __future__ import annotations

import pytest

from rayml.data.bundled import SklearnSource
from rayml.data.files import FileSource
from rayml.data.sources import Source
from rayml.data.sql import SqlSource
from rayml.data.uci import AdultSource, OnlineShoppersSource


@pytest.mark.parametrize(
    "kind", [FileSource, SklearnSource, SqlSource, AdultSource, OnlineShoppersSource]
)
def test_every_source_keeps_the_protocol(kind: type) -> None:
    assert issubclass(kind, Source)
