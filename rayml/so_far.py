"""What a command has finished, and how to continue if it fails."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path


class SoFar:
    """What a command has finished, in words; empty while a failure would lose nothing."""

    def __init__(self) -> None:
        self._words = ""
        self._once: Path | None = None

    @property
    def words(self) -> str:
        """What the command has finished by now."""
        return self._words if self._once is None or self._once.exists() else ""

    def say(self, words: str, *, once: Path | None = None) -> None:
        """Replace the words.

        Args:
            words: what is finished, and how to continue.
            once: a file; the words are empty until it exists, since nothing can continue before.
        """
        self._words, self._once = words, once


def command(verb: str, *first: str, words: Sequence[str], about: Sequence[str]) -> str:
    """A command that continues another one, as the user types it.

    Args:
        verb: of the command.
        first: its own words.
        words: `--config-dir`s and overrides of the command before.
        about: the config groups and sections that both share; config folders are always shared.
    """
    kept: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        if "--config-dir" in {before, word} or _section(word) in about:
            kept.append(word)
    return f"`{shlex.join(['rayml', verb, *first, *kept])}`"


def _section(word: str) -> str:
    return word.lstrip("+~").partition("=")[0].partition(".")[0].partition("/")[0]
