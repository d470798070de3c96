"""Ctrl-C and SIGTERM: the command prints how to continue, and ends in order.

The first signal raises an exception, as Python does for Ctrl-C alone; its line is printed at once,
since Ray takes seconds to end. A second signal, while the command ends, interrupts nothing; a third
ends the process at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
TERMINATED = 143
_answering: list[Interrupts] = []


class TerminatedError(KeyboardInterrupt):
    """The process was asked to end by SIGTERM."""


class Interrupts:
    """Answers the signals of one command.

    Args:
        how_to_go_on: returns how to continue, which the first answer prints; may be empty.
    """

    def __init__(self, how_to_go_on: Callable[[], str]) -> None:
        self._how_to_go_on = how_to_go_on
        self._signals = 0

    def end(self) -> None:
        """Count the first signal as answered."""
        self._signals = max(self._signals, 1)

    def answer(self, number: int, _frame: FrameType | None) -> None:
        """Answer a signal.

        Raises:
            KeyboardInterrupt: it is the first signal.
        """
        self._signals += 1
        if self._signals > 2:
            quit_at_once(number, None)
        if self._signals > 1:
            say("still ending; once more ends it at once")
            return
        word = "interrupted" if number == signal.SIGINT else "asked to end"
        rest = self._how_to_go_on()
        say(f"{word}; {rest}" if rest else word)
        raise KeyboardInterrupt if number == signal.SIGINT else TerminatedError


@contextmanager
def answering(how_to_go_on: Callable[[], str]) -> Iterator[None]:
    """Answer Ctrl-C and SIGTERM while the context lasts; does nothing outside the main thread."""
    interrupts = Interrupts(how_to_go_on)
    _answering.append(interrupts)
    try:
        with keeping_handlers():
            if _in_main_thread():
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, interrupts.answer)
            yield
    finally:
        _answering.remove(interrupts)


def ends_already() -> None:
    """Let the next signal interrupt nothing, since the command is ending already."""
    for each in _answering:
        each.end()


@contextmanager
def keeping_handlers() -> Iterator[None]:
    """Restore the handlers of both signals after the context, in case something replaced them."""
    if not _in_main_thread():
        yield
        return
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def say(words: str) -> None:
    """Write a line straight to standard error, whose buffer the interrupted code may hold."""
    with suppress(OSError):  # the terminal may be gone
        os.write(2, f"\nrayml: {words}\n".encode())


def quit_at_once(number: int, _frame: FrameType | None) -> NoReturn:
    """End the process at once, without any cleanup."""
    os._exit(INTERRUPTED if number == signal.SIGINT else TERMINATED)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
