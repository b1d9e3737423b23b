"""What stands against an import, collected so that it can be told all at once."""

from __future__ import annotations

from model.errors import CheckpointError

__all__ = ["Problems"]

_MOST_LISTED = 100


class Problems:
    """The reasons why `what` cannot be imported, in the order in which they were found."""

    def __init__(self, what: object) -> None:
        self.what = what
        self._reasons: list[str] = []

    def add(self, reason: str) -> None:
        """One more reason; a sentence without a full stop."""
        self._reasons.append(reason)

    def raise_any(self) -> None:
        """Ends the import, if there is a reason to.

        Raises:
            CheckpointError: with every reason, one a line.
        """
        if not self._reasons:
            return
        listed = [f"\n- {reason}" for reason in self._reasons[:_MOST_LISTED]]
        if (more := len(self._reasons) - _MOST_LISTED) > 0:
            listed.append(f"\n- and {more} more")
        raise CheckpointError(f"cannot import {self.what}:{''.join(listed)}")
