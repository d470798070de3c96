"""Shared by the HTML pages: their base style, and hashes for a content security policy."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path


def base_style() -> str:
    """The base style sheet of every page: colours of light and dark, text, tables."""
    return (Path(__file__).parent / "base.css").read_text(encoding="utf-8")


def source_hash(text: str) -> str:
    """The source of a script or style sheet in a content security policy (CSP Level 3, 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
