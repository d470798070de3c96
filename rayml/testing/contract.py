"""Runs a class of contract tests where no pytest collects it, as in a notebook or a script."""

from __future__ import annotations


def check_contract(tests: object) -> None:
    """Run each `test_` method of an object, its own and those that it inherits.

    Args:
        tests: of a class such as `ModelTests`, with its `make`.

    Raises:
        AssertionError: what is tested breaks the contract; the message says how.
    """
    for name in sorted(dir(tests)):
        if name.startswith("test_"):
            getattr(tests, name)()
