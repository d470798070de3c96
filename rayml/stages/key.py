"""Makes API keys."""

from __future__ import annotations

import sys
from pathlib import Path

from rayml.errors import ConfigError
from rayml.serve.access.key_file import add_key
from rayml.serve.access.keys import new_key, parse_scopes
from rayml.stages.context import Context


def make_key(context: Context, holder: str | None) -> None:
    """Add a new key to the file of keys, and print it, once.

    Args:
        context: of the command; `serve.keys.file` names the file.
        holder: `NAME`, or `NAME:SCOPES` for other scopes than `predict`.

    Raises:
        ConfigError: no holder or no file is given.
        ServeError: the name or the scopes are invalid, or the file cannot be written.
    """
    file = context.config.serve.keys.file
    if holder is None or file is None:
        lacking = [
            what for what, given in {"holder": holder, "file": file}.items() if given is None
        ]
        raise ConfigError(
            f"`rayml key` names no {' and no '.join(lacking)} for the key",
            remedy="Use `rayml key NAME serve.keys.file=PATH`",
        )
    name, _, scopes = holder.partition(":")
    token, key = new_key(name, parse_scopes(scopes or "predict"))
    add_key(Path(file), key)
    sys.stderr.write(f"added a key of {name} to {file}; it is shown only once\n")
    sys.stdout.write(f"{token}\n")
