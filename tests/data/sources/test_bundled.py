"""Data sets that are bundled with scikit-learn."""

from __future__ import annotations

import pytest

from rayml.data.sources.bundled import BUNDLED, SklearnSource
from rayml.errors import InvalidConfigError


def test_fingerprints_tell_bundled_sets_apart() -> None:
    assert len({SklearnSource(name).fingerprint() for name in BUNDLED}) == len(BUNDLED)


def test_an_unknown_set_is_refused() -> None:
    with pytest.raises(InvalidConfigError, match="boston"):
        SklearnSource("boston")
