"""Secrets are hidden, wherever in the config they lie."""

from __future__ import annotations

import pytest

from rayml.config.secrets import without_secrets


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
    assert without_secrets(tree) == shown
