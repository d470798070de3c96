"""Every message that rayml can raise stands in one reviewed file: a change of one is seen."""

from __future__ import annotations

import difflib
from pathlib import Path
from textwrap import dedent

import pytest

from tests.messages import COMMAND, STORED, collected


def test_messages_are_those_that_were_reviewed() -> None:
    stored, now = STORED.read_text().splitlines(), collected().splitlines()
    difference = "\n".join(
        difflib.unified_diff(stored, now, "reviewed", "source", n=0, lineterm="")
    )
    if difference:
        pytest.fail(
            f"messages differ from {STORED.name}:\n{difference}\n"
            f"Run `{COMMAND}`, review the change with git diff, and commit it",
            pytrace=False,
        )


def test_each_message_is_collected_with_its_fields_and_alternatives(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "errors.py").write_text("class RaymlError(Exception): ...\n")
    (package / "prices.py").write_text(
        dedent(
            """
            class PriceError(RaymlError): ...

            def priced(item: str, key: str) -> int:
                why = "it is sold out" if item else f"{item!r} is unknown"
                if key:
                    raise refused(key, "the price is below 0")
                raise PriceError(f"no price: {why}", found=len(item), remedy="Ask again")

            def refused(key: str, what: str) -> PriceError:
                return PriceError(f"{key}: {what}")

            def check(items: list[str]) -> None:
                problems = []
                problems.append(f"{items}: too many")
                problems += more(items)
                if problems:
                    raise InvalidConfigError(problems)

            def more(items: list[str]) -> Iterator[str]:
                yield "shop: it is closed"
            """
        )
    )
    assert collected(package).splitlines() == [
        "shop.prices",
        "  InvalidConfigError: shop: it is closed",
        "  InvalidConfigError: {items}: too many",
        "  PriceError: no price: it is sold out: {len(item)}. Ask again",
        "  PriceError: no price: {item} is unknown: {len(item)}. Ask again",
        "  PriceError: {key}: the price is below 0",
    ]
