"""Why a load test cannot be run, or has not been passed."""

from __future__ import annotations

from model.errors import PolyheadError

__all__ = ["LoadTestError"]


class LoadTestError(PolyheadError):
    """An option, a file or a service is no good, or a threshold was missed; the message says so."""
