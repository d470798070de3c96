"""Components of rayml by the names that files of earlier versions hold.

A bundle, a sweep or a config that was written before a component moved names it by its old path.
The old path is also part of the hash of prepared data, so that no data are prepared again because
a module moved.
"""

from __future__ import annotations

from collections.abc import Mapping

MOVED: Mapping[str, str] = {
    "rayml.data.bundled.SklearnSource": "rayml.data.sources.bundled.SklearnSource",
    "rayml.data.files.FileSource": "rayml.data.sources.files.FileSource",
    "rayml.data.sql.SqlSource": "rayml.data.sources.sql.SqlSource",
    "rayml.data.uci.AdultSource": "rayml.data.sources.uci.AdultSource",
    "rayml.data.uci.OnlineShoppersSource": "rayml.data.sources.uci.OnlineShoppersSource",
    "rayml.models.mlp.MLP": "rayml.models.nets.mlp.MLP",
    "rayml.models.resnet.TabularResNet": "rayml.models.nets.resnet.TabularResNet",
}
_STORED = {new: old for old, new in MOVED.items()}


def current_name(path: str) -> str:
    """The present path of a component that was stored under a path."""
    return MOVED.get(path, path)


def stored_name(path: str) -> str:
    """The name by which the hash of prepared data knows a component."""
    return _STORED.get(path, path)
