"""Secrets are hidden, wherever in the config they lie."""

from __future__ import annotations

import pytest

from rayml.search.masking import masked


@pytest.mark.parametrize(
    ("tree", "shown"),
    [
        ({"url": "postgresql://me:pw@host/db"}, {"url": "postgresql://me:***@host/db"}),
        ({"a": [{"db_password": "pw"}]}, {"a": [{"db_password": "***"}]}),
        ({"API_KEY": "pw", "access-key": "pw"}, {"API_KEY": "***", "access-key": "***"}),
        ({"max_tokens": 5, "secret": None}, {"max_tokens": 5, "secret": None}),
        ({"secrets": {"name": "x"}}, {"secrets": "***"}),
        ("plain", "plain"),
    ],
)
def test_what_is_hidden(tree: object, shown: object) -> None:
    assert masked(tree) == shown
