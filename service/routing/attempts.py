"""Calls in flight to replicas, shared by the backend that sends them and the request router.

Serve pickles the request router's module by value, so shared objects live in this module.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Self

__all__ = ["Attempt", "attempt_of"]


class Attempt:
    """One call to a replica; `attempt_of` finds it within its `with` block.

    Args:
        beside: another attempt at the same call, whose replica this one should not go to.
    """

    def __init__(self, *, beside: Attempt | None = None) -> None:
        self.call_id = str(next(_IDS))
        """Unique in this process; the `session_id` of the call's handle."""
        self.beside = beside
        self.replica: object = None
        """Where the call was sent last; None until then."""
        self.has_alternative: Callable[[], bool] = _never
        """Whether a usable replica is left beside the call's own one. Thread-safe."""
        self.cancel: Callable[[], object] = _nothing
        """Cancels the call; called on the request router's thread."""
        self.exclude_replica: Callable[[], object] = _nothing
        """Excludes the call's replica from other calls for a while. Thread-safe."""

    def __enter__(self) -> Self:
        _ATTEMPTS[self.call_id] = self
        return self

    def __exit__(self, *_: object) -> None:
        del _ATTEMPTS[self.call_id]


def attempt_of(call_id: str) -> Attempt | None:
    """The attempt in flight with this id; None when it has ended."""
    return _ATTEMPTS.get(call_id)


def _nothing() -> None: ...


def _never() -> bool:
    return False


_IDS = itertools.count(1)
_ATTEMPTS: dict[str, Attempt] = {}
