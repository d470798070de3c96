"""Turns a text into the numbers of its tokens, by the `tokenizer.json` of an encoder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from rayml.errors import ConfigError

_MOST_LETTERS = 64
"""Letters of a text for each token that is read; what follows is cut before it costs time."""

# A regular expression of a stranger may take longer than anyone waits; these are those of known
# tokenizers, in linear time.
_KNOWN_PATTERNS = frozenset({" {2,}", r"\s+", r"\s", r"\n", r"[\r\n]"})


class TornTokenizerError(ValueError):
    """A tokenizer that cannot be read, or is not one for this encoder."""


class Tokenizer:
    """A tokenizer; safe to use from several threads.

    Args:
        content: of `tokenizer.json`.
        vocabulary: rows of the encoder's table of tokens.
        special: whether it adds the tokens that begin and end a text.
        skipped: token that counts as absent; None for none.

    Raises:
        ConfigError: the package `tokenizers` is not installed.
        TornTokenizerError: it cannot be read, or has tokens that the table lacks.
    """

    def __init__(
        self, content: bytes, *, vocabulary: int, special: bool, skipped: int | None = None
    ) -> None:
        tokenizers = _package()
        _require_plain(content)
        try:
            made = tokenizers.Tokenizer.from_buffer(content)
        except BaseException as error:
            # A panic of the library is no Exception.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise TornTokenizerError(f"it cannot be read ({error})") from error
        made.no_truncation()
        made.no_padding()
        highest = max(made.get_vocab(with_added_tokens=True).values(), default=-1)
        if highest >= vocabulary:
            raise TornTokenizerError(
                f"it has the token {highest}, and the encoder knows {vocabulary} tokens"
            )
        self._tokenizer = made
        self._special = special
        self._skipped = skipped
        self._added = made.num_special_tokens_to_add(False) if special else 0

    def __call__(self, text: str, most: int) -> tuple[list[int], int]:
        """The tokens of a text.

        Args:
            text: any text.
            most: tokens at most, those that begin and end a text among them.

        Returns:
            The tokens, and how many there would be if none were cut; of a very long text at least
            one more than `most`.
        """
        read = text[: most * _MOST_LETTERS]
        encoding = self._tokenizer.encode(read, add_special_tokens=False)
        if not self._special:
            ids = [each for each in encoding.ids if each != self._skipped]
            return ids[:most], self._count(len(ids), most, text)
        count = self._count(len(encoding.ids) + self._added, most, text)
        room = max(most - self._added, 0)
        if len(encoding.ids) > room:
            encoding.truncate(room)
        ids = self._tokenizer.post_process(encoding, None, add_special_tokens=True).ids
        return ids[:most], count

    @staticmethod
    def _count(found: int, most: int, text: str) -> int:
        return max(found, most + 1) if len(text) > most * _MOST_LETTERS else found


def _package() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise ConfigError(
            "columns of text need the package tokenizers, which is not installed",
            remedy="Run `pip install 'rayml[text]'`",
        ) from error
    return tokenizers


def _require_plain(content: bytes) -> None:
    """Refuse what makes a text's tokens random, or their time unbounded."""
    try:
        described = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise TornTokenizerError(f"it is not JSON ({error})") from error
    if not isinstance(described, dict) or not isinstance(described.get("model"), dict):
        raise TornTokenizerError("it has no model")
    if described["model"].get("dropout"):
        raise TornTokenizerError("its tokens are random (dropout)")
    for part in ("normalizer", "pre_tokenizer"):
        for pattern in _patterns(described.get(part)):
            if pattern not in _KNOWN_PATTERNS:
                raise TornTokenizerError(
                    f"its {part} has the regular expression {str(pattern)[:100]!r}, whose time"
                    " rayml cannot bound"
                )


def _patterns(part: Any) -> Iterator[Any]:
    """The regular expressions in a part."""
    values = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    if isinstance(part, dict) and "Regex" in part:
        yield part["Regex"]
    for value in values:
        yield from _patterns(value)
