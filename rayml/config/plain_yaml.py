"""Reads YAML of files: plain values alone, without aliases that multiply them."""

from __future__ import annotations

from typing import Any

import yaml


class _PlainLoader(yaml.SafeLoader):
    """A safe loader without aliases, by which a few lines make billions of values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.YAMLError(f"line {mark.line + 1} has an alias")
        return super().compose_node(parent, index)


def load_plain(text: str) -> Any:
    """Read YAML.

    Raises:
        ValueError: it is not YAML, has aliases, or is nested too deeply.
    """
    try:
        return yaml.load(text, _PlainLoader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error) or "it is nested too deeply") from error
