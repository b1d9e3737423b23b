"""What stands against an import, collected so that it can be told all at once."""

from __future__ import annotations

from model.errors import ImportRefusedError

__all__ = ["Problems"]

_MOST_LISTED = 100


class Problems:
    """The reasons why `what` cannot be imported, in the order in which they were found."""

    def __init__(self, what: object) -> None:
        self.what = what
        self._reasons: dict[str, None] = {}

    def add(self, reason: str) -> None:
        """One more reason, if it is new; a sentence without a full stop."""
        self._reasons[reason] = None

    def raise_any(self) -> None:
        """Ends the import, if there is a reason to.

        Raises:
            ImportRefusedError: with every reason.
        """
        if not self._reasons:
            return
        listed = [*self._reasons][:_MOST_LISTED]
        if (more := len(self._reasons) - _MOST_LISTED) > 0:
            listed.append(f"and {more} more")
        raise ImportRefusedError(self.what, listed)
