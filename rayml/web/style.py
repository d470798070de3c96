"""What the pages for people share: their style, and how a policy names a script."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path


def base_style() -> str:
    """The style sheet that every page begins with: colours of light and dark, text, tables."""
    return (Path(__file__).parent / "base.css").read_text(encoding="utf-8")


def source_hash(text: str) -> str:
    """A script or style sheet as a content security policy names it (CSP Level 3, 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
