"""What the banner tells of a start."""

from __future__ import annotations

import time

import pytest

from service.catalog.directories import catalog_of
from service.launcher.launch import Address, print_banner
from service.launcher.start_times import StartTimes
from service.settings import LogLevel, Settings


def test_phases_add_up_to_the_whole_since_the_process_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([100.0, 102.5, 103.0])
    monkeypatch.setattr(time, "time", lambda: 1_000.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr("psutil.Process.create_time", lambda _: 999.25)
    times = StartTimes()
    times.end("Ray")
    times.end("models")
    assert list(times.lines()) == ["  3.25 s  Ray", "  0.50 s  models"]
    assert times.seconds == 3.75


def test_a_clock_that_was_set_back_takes_nothing_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000.0)
    monkeypatch.setattr("psutil.Process.create_time", lambda _: 4_600.0)
    times = StartTimes()
    times.end("Ray")
    assert 0 <= times.seconds < 60


@pytest.mark.parametrize(("level", "lines"), [(LogLevel.DEBUG, 1), (LogLevel.INFO, 0)])
def test_the_banner_tells_phases_at_debug_alone(
    capsys: pytest.CaptureFixture[str], level: LogLevel, lines: int
) -> None:
    settings = Settings(log_level=level)
    times = StartTimes()
    times.end("Ray")
    print_banner(Address(host="127.0.0.1", port=8313), catalog_of(settings), settings, times, None)
    banner = capsys.readouterr().out.splitlines()
    assert banner[0].startswith("Polyhead is ready after ")
    assert sum("  Ray" in line for line in banner) == lines
