"""Why a benchmark cannot be run."""

from __future__ import annotations

from model.errors import PolyheadError

__all__ = ["BenchError", "SlowAnswerError"]


class BenchError(PolyheadError):
    """An option, a file or a contender is no good; the message says what must be and what was."""


class SlowAnswerError(BenchError):
    """A contender has not answered within the time it was given."""
