"""Makes API keys."""

from __future__ import annotations

import sys
from pathlib import Path

from rayml.errors import ConfigError
from rayml.serve.access.key_file import add_key
from rayml.serve.access.keys import new_key, parse_scopes
from rayml.stages.context import Context


def make_key(context: Context, holder: str | None) -> None:
    """Add a new key to the file of keys, and print it, which nothing else ever does.

    Args:
        context: of the command; `serve.keys.file` names the file.
        holder: `NAME`, or `NAME:SCOPES` for others than `predict`.

    Raises:
        ConfigError: there is no holder, or no file.
        ServeError: the name or the scopes are none, or the file cannot be written.
    """
    file = context.config.serve.keys.file
    if holder is None or file is None:
        raise ConfigError(
            "a key has a holder and is stored in a file",
            found=" ".join(filter(None, [holder, file])) or "neither",
            remedy="Use `rayml key NAME serve.keys.file=PATH`",
        )
    name, _, scopes = holder.partition(":")
    token, key = new_key(name, parse_scopes(scopes or "predict"))
    add_key(Path(file), key)
    sys.stderr.write(f"{file} accepts this key of {name} now; it is shown this once\n")
    sys.stdout.write(f"{token}\n")
