"""What was checked, a line each."""

from __future__ import annotations

__all__ = ["Report"]


class Report:
    """Prints what holds and what does not, and counts the latter."""

    def __init__(self) -> None:
        self.failures = 0
        """Number of checks."""

    def check(self, what: str, holds: bool, seen: object = "") -> None:
        """Notes a check: what must hold, whether it does, and what was seen."""
        self.failures += not holds
        shown = f": {seen}" if str(seen) else ""
        print(f"  {'ok' if holds else 'FAILED':7}{what}{shown}", flush=True)
