"""Names that a hostile file might give as those of components."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import warnings
from functools import lru_cache

# Importing these opens a browser, a window or a terminal, or prints.
_ACT = {"antigravity", "idlelib", "this", "tkinter", "turtle", "turtledemo", "lib2to3", "test"}
_ACT |= {"__main__", "_pyrepl", "pdb", "cProfile", "ensurepip", "venv", "msilib", "nturl2path"}

TRICKS = [
    "rayml.config.components.build.importlib.import_module",
    "rayml.config.components.build.locate",
    "rayml.config.components.build.build",
    "rayml.config.components.trusted.build_trusted",
    "rayml.cluster.connection.connect",
    "rayml.cli.main",
    "rayml.models.nets.mlp.MLP.forward",
    "rayml.models.nets.mlp.nn.Linear",
    "rayml.models.nets.mlp.FeatureEmbedding",
    "rayml.models.nets.mlp.torch.load",
    "rayml.registry.bundle.bundle.write_bundle",
    "rayml.serve.endpoint.start",
    "rayml.testing.bundles.untrained_bundle",
    "rayml.x.os.system",
    "rayml.os.system",
    "rayml",
    "rayml.",
    ".rayml.models.nets.mlp.MLP",
    "rayml.models.nets.mlp.MLP ",
    "rayml.models..mlp.MLP",
    "rayml/models/mlp.MLP",
    "os.path.os.system",
    "os:system",
    "__builtins__.eval",
    "torch.load",
    "torch.hub.load",
    "torch.nn.Linear",
    "numpy.load",
    "pandas.read_pickle",
    "ray.init",
    "",
    ".",
    "x" * 10_000 + ".y",
    "os.system\x00",
]


@lru_cache
def standard_library() -> list[str]:
    """Dotted paths of what the standard library's modules have that can be called."""
    found = []
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for name in sorted(sys.stdlib_module_names - _ACT):
            try:
                module = importlib.import_module(name)
            except ImportError:
                continue  # of another system
            found += [f"{name}.{key}" for key, value in vars(module).items() if callable(value)]
    return found
