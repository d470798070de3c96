"""Paths that more than one package names."""

from __future__ import annotations

from typing import Final

FEEDBACK: Final = "/feedback"
METRICS: Final = "/metrics"
