"""Why a translation ended. Without NumPy, for who only reads answers."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["FinishReason"]


class FinishReason(StrEnum):
    """Why a hypothesis, and with its best one a sequence, ended."""

    STOP = "stop"
    """The end token was predicted."""
    LENGTH = "length"
    """The limit of target tokens was reached."""
