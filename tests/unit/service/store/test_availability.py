"""What is wrong with the store is told once, and not again with each small success."""

from __future__ import annotations

import pytest

from service.store.availability import Availability


def test_a_disk_that_takes_some_writes_is_not_well(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    part = Availability("it", clock=lambda: now)
    part.worked("reads")
    for _ in range(5):
        now += 1.0
        part.failed("writes", "full")
        part.worked("writes")
        part.worked("reads")
    part.failed("writes", "broken")
    assert caplog.messages == ["it cannot be used: full", "it cannot be used: broken"]
    now += 60.0
    part.worked("reads")
    part.worked("writes")
    part.worked("writes")
    assert caplog.messages[2:] == ["it can be used again"]
    part.failed("reads", "full")
    assert caplog.messages[3:] == ["it cannot be used: full"]


def test_reasons_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    part = Availability("it")
    for number in range(100):
        part.failed("reads", str(number))
    assert len(caplog.messages) == 20
