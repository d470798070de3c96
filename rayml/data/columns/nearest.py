"""Finds the known name that is nearest to an unknown one."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

# Bounds the time that a request with a strange name can take.
_LONGEST = 100
_MOST = 2000


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """A question that suggests the nearest known name, with a space; empty if none is near."""
    folded: dict[str, str] = {}
    for each in known:
        folded.setdefault(each.strip().casefold(), each)
    wanted = name.strip().casefold()
    near = folded.get(wanted)
    if near is None and len(name) <= _LONGEST and len(known) <= _MOST:
        close = difflib.get_close_matches(wanted, list(folded), n=1)
        near = folded[close[0]] if close else None
    return "" if near is None else f"Did you mean {near!r}? "


def listed(known: Sequence[str], limit: int = 500) -> str:
    """Names with commas between them, cut to `limit` characters."""
    text = ", ".join(known)
    return text if len(text) <= limit else f"{text[:limit]}…"
