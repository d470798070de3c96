"""Passwords in URLs, which are shown and stored without them."""

from __future__ import annotations

import re

MASK = "***"
_PASSWORD = re.compile(
    r"(://[^:/@\s]*:)[^@\s]*(?=@)|([?&](?:password|pwd|token)=)[^&\s]*", re.IGNORECASE
)


def masked(text: str) -> str:
    """A text with the passwords of the URLs in it replaced."""
    return _PASSWORD.sub(rf"\1\2{MASK}", text)
