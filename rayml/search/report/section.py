"""A section of the page: a title, what to know, figures, tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rayml.search.charts.style import Figure


@dataclass(frozen=True)
class Grid:
    """A table of text.

    Attributes:
        head: names of the columns.
        rows: of cells.
        trials: whether the first cell is the number of a trial, which a click shows.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    trials: bool = False


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes:
        name: its anchor.
        title: its heading.
        notes: sentences above the figures; empty ones are left out.
        figures: charts.
        tables: below them.
        text: preformatted, folded away.
        small: whether the figures stand side by side.
    """

    name: str
    title: str
    notes: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Grid] = ()
    text: str = ""
    small: bool = False
