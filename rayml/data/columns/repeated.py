"""Names that occur more than once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


def repeated(names: Iterable[str]) -> list[str]:
    """The names that occur more than once, sorted; in time linear in their number."""
    return sorted(name for name, count in Counter(names).items() if count > 1)
