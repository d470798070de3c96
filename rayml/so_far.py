"""What a command has finished, and how to go on should it not end well."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path


class SoFar:
    """Where a command stands, in words; empty until something would be lost.

    What is said replaces what was said before.
    """

    def __init__(self) -> None:
        self._words = ""
        self._once: Path | None = None

    @property
    def words(self) -> str:
        """Where the command stands now."""
        return self._words if self._once is None or self._once.exists() else ""

    def say(self, words: str, *, once: Path | None = None) -> None:
        """The command stands here now.

        Args:
            words: what to tell.
            once: a file; before it is there, nothing can be gone on with.
        """
        self._words, self._once = words, once


def command(verb: str, *first: str, words: Sequence[str], about: Sequence[str]) -> str:
    """A command that goes on from another one, as the user types it.

    Args:
        verb: of the command.
        first: its own words.
        words: `--config-dir`s and overrides of the one before.
        about: the config groups and sections that it shares with that; config folders it always
            shares.
    """
    kept: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        if "--config-dir" in {before, word} or _section(word) in about:
            kept.append(word)
    return f"`{shlex.join(['rayml', verb, *first, *kept])}`"


def _section(word: str) -> str:
    return word.lstrip("+~").partition("=")[0].partition(".")[0].partition("/")[0]
