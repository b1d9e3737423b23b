"""What the backend that sends calls and Serve's request router tell each other.

Serve pickles the request router's module by value, so shared objects live in this module.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Self

__all__ = ["Attempt", "attempt_of", "count_replicas", "num_replicas"]


class Attempt:
    """One call to a replica; `attempt_of` finds it within its `with` block.

    Args:
        beside: another attempt at the same call, whose replica this one should not go to.
        num_calls: calls that are sent together as this one.
    """

    def __init__(self, *, beside: Attempt | None = None, num_calls: int = 1) -> None:
        self.call_id = str(next(_IDS))
        """Unique in this process; the `session_id` of the call's handle."""
        self.beside = beside
        self.num_calls = num_calls
        self.sent_as = self
        """The attempt that tells of it where it is sent together with others."""
        self.model: str | None = None
        """The model that the call is for, where a deployment loads them on demand."""
        self.replica: object = None
        """Where the call was sent last; None until then."""
        self.has_alternative: Callable[[], bool] = _never
        """Whether a usable replica is left beside the call's own one. Thread-safe."""
        self.cancel: Callable[[], object] = _nothing
        """Cancels the call; called on the request router's thread."""
        self.exclude_replica: Callable[[], object] = _nothing
        """Excludes the call's replica from other calls for a while. Thread-safe."""
        self._tell: Callable[..., object] | None = None
        self._told: list[tuple[object, ...]] = []

    def tell(self, method: str, *args: object) -> None:
        """Calls a method, by its name, of the replica where the call was sent, and of each where it
        will be sent: one that has too much to do sends it away."""
        self._told.append((method, *args))
        if self._tell is not None:
            self._tell(method, *args)

    def tell_by(self, tell: Callable[..., object]) -> None:
        """Sets how the replica is told, as the call has been sent."""
        self._tell = tell
        for what in self._told:
            tell(*what)

    def __enter__(self) -> Self:
        _ATTEMPTS[self.call_id] = self
        return self

    def __exit__(self, *_: object) -> None:
        del _ATTEMPTS[self.call_id]


def attempt_of(call_id: str) -> Attempt | None:
    """The attempt in flight with this id; None when it has ended."""
    return _ATTEMPTS.get(call_id)


def num_replicas(application: str, deployment: str) -> int:
    """The replicas of a deployment that can take calls now; 0 before the first call to it."""
    return _REPLICAS.get((application, deployment), 0)


def count_replicas(application: str, deployment: str, count: int) -> None:
    """Notes the replicas of a deployment that can take calls."""
    _REPLICAS[application, deployment] = count


def _nothing() -> None: ...


def _never() -> bool:
    return False


_IDS = itertools.count(1)
_ATTEMPTS: dict[str, Attempt] = {}
_REPLICAS: dict[tuple[str, str], int] = {}
