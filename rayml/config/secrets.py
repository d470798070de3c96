"""Secrets in what is shown or stored: passwords in URLs, and values whose keys name a secret."""

from __future__ import annotations

import re
from typing import Any

MASK = "***"
_PASSWORD = re.compile(
    r"(://[^:/@\s]*:)[^@\s]*(?=@)|([?&](?:password|pwd|token)=)[^&\s]*", re.IGNORECASE
)
_NAME = re.compile(
    r"password|passwd|\bpwd\b|secret|token|credential|api.?key|access.?key", re.IGNORECASE
)


def masked(text: str) -> str:
    """A text with the passwords of the URLs in it replaced by `***`."""
    return _PASSWORD.sub(rf"\1\2{MASK}", text)


def without_secrets(tree: Any) -> Any:
    """A tree of plain containers with URL passwords, and values of secret keys, masked.

    A stored config has no password in a URL; a page travels further than a folder, so it hides
    the values of keys such as `api_key` as well.
    """
    if isinstance(tree, dict):
        return {
            key: MASK if _is_secret(key, value) else without_secrets(value)
            for key, value in tree.items()
        }
    if isinstance(tree, list):
        return [without_secrets(each) for each in tree]
    return masked(tree) if isinstance(tree, str) else tree


def _is_secret(key: object, value: object) -> bool:
    # A number is none, such as `max_tokens`.
    return isinstance(value, str | dict | list) and _NAME.search(str(key)) is not None
