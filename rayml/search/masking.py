"""Hides what a page or a message that is passed on must not tell."""

from __future__ import annotations

import re
from typing import Any

from rayml.config.secrets import MASK
from rayml.config.secrets import masked as without_passwords

_NAME = re.compile(
    r"password|passwd|\bpwd\b|secret|token|credential|api.?key|access.?key", re.IGNORECASE
)


def masked(tree: Any) -> Any:
    """The tree with passwords in URLs, and texts whose keys name a secret, replaced by `***`.

    The config in a sweep's folder has no password in a URL any more; a page is passed on
    further than a folder.
    """
    if isinstance(tree, dict):
        return {
            key: MASK if _is_secret(key, value) else masked(value) for key, value in tree.items()
        }
    if isinstance(tree, list):
        return [masked(each) for each in tree]
    return without_passwords(tree) if isinstance(tree, str) else tree


def _is_secret(key: object, value: object) -> bool:
    # A number, such as that of tokens, is none.
    return isinstance(value, str | dict | list) and _NAME.search(str(key)) is not None
