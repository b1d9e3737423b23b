"""Calls on their way to a replica: who sends them, and who chooses the replica, meet here."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

__all__ = ["Attempt", "attempt_at"]


class Attempt:
    """One call on its way to a replica, known here from `with` on until its end."""

    def __init__(self, call: object) -> None:
        """`call`: the very object that goes into the handle."""
        self._call = call
        self.give_up: Callable[[], object] = _nothing
        """Ends it, on whatever thread this is called."""
        self.shun: Callable[[], None] = _nothing
        """Its replica is to be left alone for a while."""

    def __enter__(self) -> Self:
        _ATTEMPTS[id(self._call)] = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del _ATTEMPTS[id(self._call)]


def _nothing() -> None: ...


_ATTEMPTS: dict[int, Attempt] = {}
"""By the identity of the call."""


def attempt_at(call: int) -> Attempt | None:
    """The attempt under way with the call of this identity."""
    return _ATTEMPTS.get(call)
