"""A future that costs little: there are tens of thousands in a second.

One of `concurrent.futures` has a condition of its own, in case somebody waits for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar, cast

__all__ = ["ResultFuture", "call_when_settled", "results", "settle", "wait"]

_T = TypeVar("_T")

_LOCK = threading.RLock()
"""One for all futures: it is held for some assignments, and never while somebody is called. A
garbage collection meanwhile may close an engine, on the same thread."""

_ENDED = "a future ends once, but this one has ended before"


class _Countdown:
    """Called when so many futures as are left have results, or when one has an error."""

    __slots__ = ("callback", "left")

    def __init__(self, callback: Callable[[], object], left: int) -> None:
        self.callback = callback
        self.left = left


class ResultFuture(Generic[_T]):
    """What will come of a piece of work: a result or an error, once.

    Those who wait cannot cancel it: who works on it decides how it ends.
    """

    __slots__ = ("_countdowns", "_done", "_error", "_result")

    def __init__(self) -> None:
        self._done = False
        self._result: _T | None = None
        self._error: BaseException | None = None
        self._countdowns: tuple[_Countdown, ...] = ()

    def done(self) -> bool:
        """Whether there is a result or an error."""
        return self._done

    def result(self, timeout: float | None = None) -> _T:
        """The result, as soon as it is there; or raises the error.

        Raises:
            TimeoutError: neither has come within `timeout` seconds.
        """
        if not self._done:
            self._wait(timeout)
        if self._error is not None:
            raise self._error
        return cast(_T, self._result)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The error, None if there is a result instead; as soon as either is there.

        Raises:
            TimeoutError: neither has come within `timeout` seconds.
        """
        if not self._done:
            self._wait(timeout)
        return self._error

    def add_done_callback(self, callback: Callable[[ResultFuture[_T]], object]) -> None:
        """Has `callback` called with this future when it is done: on the thread that settles it,
        or here and now. What it raises concerns nobody."""
        call_when_settled([self], partial(callback, self))

    def set_result(self, result: _T) -> None:
        """Ends it well; see `settle`, which does so with many."""
        settle([self], [result])

    def set_exception(self, error: BaseException) -> None:
        """Ends it with an error.

        Raises:
            RuntimeError: it has ended before.
        """
        with _LOCK:
            if self._done:
                raise RuntimeError(_ENDED)
            self._error = error
            self._done = True
            told = []
            for each in self._countdowns:
                if each.left > 0:
                    told.append(each.callback)
                    each.left = 0
            self._countdowns = ()
        _call(told)

    def _wait(self, timeout: float | None) -> None:
        if not wait([self], timeout):
            raise TimeoutError


def call_when_settled(
    futures: Collection[ResultFuture[Any]], callback: Callable[[], object]
) -> None:
    """Has `callback` called, once, when all of some futures have results, or when one has an error:
    on the thread that settles it, or here and now. What it raises concerns nobody.

    Whoever waits for all sentences of a request costs little more than who waits for one.
    """
    if _counted_down(futures, callback) is None:
        _call([callback])


def wait(futures: Collection[ResultFuture[Any]], timeout: float | None = None) -> bool:
    """Blocks until all futures have a result or one has an error; False after `timeout` seconds."""
    if all(future._done for future in futures):
        return True
    # Not an event: a Ctrl-C within it may leave its lock to nobody, and who sets it would wait.
    unsettled = threading.Lock()
    unsettled.acquire()
    countdown = _counted_down(futures, unsettled.release)
    if countdown is None or unsettled.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
        return True
    with _LOCK:  # or whoever asks again and again would be told as often
        for future in futures:
            left = [each for each in future._countdowns if each is not countdown]
            future._countdowns = tuple(left)
    return False


def _counted_down(
    futures: Collection[ResultFuture[Any]], callback: Callable[[], object]
) -> _Countdown | None:
    """What calls `callback` when some futures are settled; None if they are."""
    with _LOCK:
        open_ones = [future for future in futures if not future._done]
        if not open_ones or any(future._error is not None for future in futures):
            return None
        countdown = _Countdown(callback, len(open_ones))
        alone = (countdown,)
        for future in open_ones:
            future._countdowns = (*future._countdowns, countdown) if future._countdowns else alone
    return countdown


def results(futures: Collection[ResultFuture[_T]]) -> list[_T]:
    """The results of some futures, as soon as they are there; or raises the first error of those
    that have ended by now, or of those that it waits for."""
    for future in futures:
        if future._error is not None:
            raise future._error
    return [
        cast(_T, each._result) if each._done and each._error is None else each.result()
        for each in futures
    ]


def settle(futures: Iterable[ResultFuture[_T]], results: Iterable[_T]) -> None:
    """Gives each of some futures its result, and then calls who is to be told.

    Raises:
        RuntimeError: one of them has ended before.
    """
    told = []
    with _LOCK:
        for future, result in zip(futures, results, strict=True):
            if future._done:
                raise RuntimeError(_ENDED)
            future._result = result
            future._done = True  # from here on others read the result, without the lock
            if future._countdowns:
                for each in future._countdowns:
                    each.left -= 1
                    if not each.left:
                        told.append(each.callback)
                future._countdowns = ()
    _call(told)


def _call(callbacks: Iterable[Callable[[], object]]) -> None:
    for callback in callbacks:
        with suppress(BaseException):
            callback()
