"""The caretaker of `supervised_stub`, whose command has no arguments."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.serve.supervised_stub import take_care

if __name__ == "__main__":
    sys.exit(take_care(Path(os.environ["STUB_FOLDER"])))
