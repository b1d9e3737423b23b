"""Calls on threads of their own."""

from __future__ import annotations

import asyncio
import threading

import pytest

from service.hosting.own_thread import start_thread


async def test_a_call_has_a_result_or_an_error() -> None:
    assert await start_thread(lambda: 7) == 7

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await start_thread(fail)


async def test_many_that_hang_hold_no_other_up() -> None:
    may_end = threading.Event()
    hanging = [start_thread(lambda: may_end.wait(60)) for _ in range(40)]
    assert await start_thread(lambda: 7) == 7
    hanging[0].cancel()  # nobody waits for it any more
    may_end.set()
    assert all(await asyncio.gather(*hanging[1:]))
