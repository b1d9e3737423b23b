"""The calls under way to replicas, shared by who sends them and by who chooses their replicas.

Serve sends the request router's module to the gateways by value; what both sides must see as one
and the same object is therefore here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Self

__all__ = ["Attempt", "attempt_of"]


class Attempt:
    """One call to a replica, which `attempt_of` finds from `with` on until its end."""

    def __init__(self) -> None:
        self.call_id = str(next(_IDS))
        """Unique in this process; the `session_id` of the call's handle."""
        self.cancel: Callable[[], object] = _nothing
        """Ends the call, on the request router's thread."""
        self.exclude_replica: Callable[[], object] = _nothing
        """Keeps other calls from the call's replica for a while, on any thread."""

    def __enter__(self) -> Self:
        _ATTEMPTS[self.call_id] = self
        return self

    def __exit__(self, *_: object) -> None:
        del _ATTEMPTS[self.call_id]


def attempt_of(call_id: str) -> Attempt | None:
    """The attempt under way with this id; None when it has ended."""
    return _ATTEMPTS.get(call_id)


def _nothing() -> None: ...


_IDS = itertools.count(1)
_ATTEMPTS: dict[str, Attempt] = {}
