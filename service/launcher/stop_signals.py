"""Signals that ask a service to stop: the first one ends a `with` block, quietly."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from service.launcher.forced_stop import STOP_SIGNALS

__all__ = ["StopRequested", "raise_on_stop", "stop_by_signal", "stopped_quietly", "stopping"]


class StopRequested(BaseException):
    """A signal asked for shutdown. Not an Exception, so that no handler swallows it."""


@contextmanager
def stopped_quietly() -> Iterator[None]:
    """Ends without an error where a signal was what ended the block.

    Ray's own code in C lets no exception through that it does not know: of a signal that comes
    while it waits there, it makes a SystemError.
    """
    try:
        yield
    except SystemExit:
        return
    except BaseException as error:
        if not any(isinstance(cause, StopRequested) for cause in _causes(error)):
            raise


@contextmanager
def stop_by_signal() -> Iterator[None]:
    """The first signal raises StopRequested in the main thread; the next ones do nothing."""
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    raise_on_stop()
    try:
        yield
    finally:
        for number, handler in zip(STOP_SIGNALS, before, strict=True):
            signal.signal(number, handler)


def raise_on_stop() -> None:
    """Sets the handlers anew, which another library may have replaced."""
    _set_handlers(_raise_stopped)


def stopping() -> None:
    """From now on signals only count for `forced_stop`."""
    _set_handlers(_do_nothing)


def _causes(error: BaseException) -> list[BaseException]:
    """The exception and all that led to it, explicitly or not."""
    found = [error]
    for one in found:
        for cause in (one.__cause__, one.__context__):
            if cause is not None and all(cause is not known for known in found):
                found.append(cause)
    return found


def _set_handlers(handler: Any) -> None:
    for number in STOP_SIGNALS:
        # SIGHUP stays ignored under nohup.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def _raise_stopped(number: int, frame: FrameType | None) -> None:
    stopping()
    raise StopRequested


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Handles a signal that `forced_stop` sees; SIG_IGN would keep it from there."""
