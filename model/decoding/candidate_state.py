"""What becomes of the candidates of a search. Without NumPy, for who only reads answers."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["CandidateState"]


class CandidateState(StrEnum):
    """What became of a candidate."""

    KEPT = "kept"
    """The search went on from it."""
    ENDED = "ended"
    """It is a finished hypothesis."""
    PRUNED = "pruned"
    """Others were better, or the search was over."""
