from __future__ import annotations

import pytest

from rayml.data.files import FileSource
from rayml.data.sources import BUNDLED, SklearnSource, Source
from rayml.data.sql import SqlSource
from rayml.data.uci import AdultSource, OnlineShoppersSource
from rayml.errors import InvalidConfigError


@pytest.mark.parametrize(
    "kind", [FileSource, SklearnSource, SqlSource, AdultSource, OnlineShoppersSource]
)
def test_every_source_keeps_the_protocol(kind: type) -> None:
    assert issubclass(kind, Source)


def test_fingerprints_tell_bundled_sets_apart() -> None:
    assert len({SklearnSource(name).fingerprint() for name in BUNDLED}) == len(BUNDLED)


def test_an_unknown_set_is_refused() -> None:
    with pytest.raises(InvalidConfigError, match="boston"):
        SklearnSource("boston")
