"""A future that costs little: there are tens of thousands in a second.

One of `concurrent.futures` has a condition of its own, in case somebody waits for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Generic, TypeAlias, TypeVar, cast

__all__ = ["ResultFuture", "settle"]

_T = TypeVar("_T")

_LOCK = threading.RLock()
"""One for all futures: it is held for some assignments, and never while somebody is called. A
garbage collection meanwhile may close an engine, on the same thread."""


class ResultFuture(Generic[_T]):
    """What will come of a piece of work: a result or an error, once.

    Those who wait cannot cancel it: who works on it decides how it ends.
    """

    __slots__ = ("_callbacks", "_done", "_error", "_result")

    def __init__(self) -> None:
        self._done = False
        self._result: _T | None = None
        self._error: BaseException | None = None
        self._callbacks: _Callbacks[_T] = ()

    def done(self) -> bool:
        """Whether there is a result or an error."""
        return self._done

    def result(self, timeout: float | None = None) -> _T:
        """The result, as soon as it is there; or raises the error.

        Raises:
            TimeoutError: neither has come within `timeout` seconds.
        """
        if (error := self.exception(timeout)) is not None:
            raise error
        return cast(_T, self._result)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The error, None if there is a result instead; as soon as either is there.

        Raises:
            TimeoutError: neither has come within `timeout` seconds.
        """
        if not self._done:
            settled = threading.Event()
            self.add_done_callback(lambda _: settled.set())
            if not settled.wait(timeout):
                raise TimeoutError
        return self._error

    def add_done_callback(self, callback: Callable[[ResultFuture[_T]], object]) -> None:
        """Has `callback` called with this future when it is done: on the thread that settles it,
        or here and now. What it raises concerns nobody."""
        with _LOCK:
            done = self._done
            if not done:
                self._callbacks = (*self._callbacks, callback)
        if done:
            _call([(self, (callback,))])

    def set_result(self, result: _T) -> None:
        """Ends it well; see `settle`, which does so with many."""
        settle([self], [result])

    def set_exception(self, error: BaseException) -> None:
        """Ends it with an error.

        Raises:
            RuntimeError: it has ended before.
        """
        with _LOCK:
            callbacks = self._end(None, error)
        _call([(self, callbacks)])

    def _end(self, result: _T | None, error: BaseException | None) -> _Callbacks[_T]:
        """Ends it, with the lock held, and returns who is to be told."""
        if self._done:
            raise RuntimeError("a future ends once, but this one has ended before")
        self._result, self._error = result, error
        self._done = True  # from here on others read the two, without the lock
        callbacks, self._callbacks = self._callbacks, ()
        return callbacks


_Callbacks: TypeAlias = tuple[Callable[[ResultFuture[_T]], object], ...]


def settle(futures: Iterable[ResultFuture[_T]], results: Iterable[_T]) -> None:
    """Gives each of some futures its result, and then calls who is to be told.

    Raises:
        RuntimeError: one of them has ended before.
    """
    told = []
    with _LOCK:
        for future, result in zip(futures, results, strict=True):
            if callbacks := future._end(result, None):
                told.append((future, callbacks))
    _call(told)


def _call(told: Iterable[tuple[ResultFuture[_T], _Callbacks[_T]]]) -> None:
    calls = ((callback, future) for future, callbacks in told for callback in callbacks)
    left = True
    while left:
        with suppress(BaseException):  # it ends the loop, and not the calls
            for callback, future in calls:
                callback(future)
            left = False
