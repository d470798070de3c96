"""What Ctrl-C and SIGTERM do to a command: it says how to go on, and ends in order.

The first one ends the command by an exception, as Python does for Ctrl-C alone; it is answered at
once, since Ray takes seconds to end. One that comes while the command ends interrupts nothing.
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
        how_to_go_on: what the user is told besides; empty if there is nothing to tell.
    """

    def __init__(self, how_to_go_on: Callable[[], str]) -> None:
        self._how_to_go_on = how_to_go_on
        self._signals = 0

    def end(self) -> None:
        """Take the first signal as answered."""
        self._signals = max(self._signals, 1)

    def answer(self, number: int, _frame: FrameType | None) -> None:
        """Answer a signal.

        Raises:
            KeyboardInterrupt: it is the first one.
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
    """Answer Ctrl-C and SIGTERM while the context lasts; in other threads nothing is changed."""
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
    """Let the next signal interrupt nothing: the command was asked to end, and does."""
    for each in _answering:
        each.end()


@contextmanager
def keeping_handlers() -> Iterator[None]:
    """Put the handlers of both signals back in the end, if something replaced them."""
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
    """Write a line to standard error, past what the interrupted code may be writing."""
    with suppress(OSError):  # nobody may be there to read it
        os.write(2, f"\nrayml: {words}\n".encode())


def quit_at_once(number: int, _frame: FrameType | None) -> NoReturn:
    """End the process, which has nothing to put in order."""
    os._exit(INTERRUPTED if number == signal.SIGINT else TERMINATED)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
