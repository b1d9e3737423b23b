"""A service that does not end by itself is ended."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.service_process import runs, wait_for

ROOT = Path(__file__).parents[4]

# Does nothing about a signal but say so.
_DEAF = """
import os, signal, subprocess, sys
from service.launcher.forced_stop import forced_stop

def stop(number, frame):
    os.write(1, b"lost\\n")
signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
child = subprocess.Popen(
    [sys.executable, "-c", "import signal; signal.pause()"], stdout=subprocess.DEVNULL
)
with forced_stop(float(sys.argv[1])):
    print(child.pid, flush=True)
    while True:
        signal.pause()
"""
# Has ended all it started, and gets no further.
_STUCK = """
import signal, sys
from pathlib import Path
from service.launcher.forced_stop import forced_stop
from service.launcher.local_ray import kill_descendants
from service.launcher.reaper import reaped_on_death

signal.signal(signal.SIGTERM, lambda *_: None)
with forced_stop(0.5), reaped_on_death(Path(sys.argv[1])):
    kill_descendants()
    signal.raise_signal(signal.SIGTERM)
    while True:
        signal.pause()
"""
_END_SECONDS = 60.0


@contextmanager
def _deaf(seconds: float) -> Iterator[tuple[subprocess.Popen[str], int]]:
    with subprocess.Popen(
        [sys.executable, "-c", _DEAF, str(seconds)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_it_at_once(number: signal.Signals) -> None:
    with _deaf(seconds=3600) as (process, child):
        process.send_signal(number)
        assert _line(process) == "lost"
        process.send_signal(number)
        assert process.wait(timeout=_END_SECONDS) == 128 + number
        wait_for(lambda: not runs(child))


def test_the_first_signal_ends_it_in_time() -> None:
    with _deaf(seconds=0.5) as (process, child):
        process.send_signal(signal.SIGTERM)
        assert _line(process) == "lost"
        assert process.wait(timeout=_END_SECONDS) == 128 + signal.SIGTERM
        wait_for(lambda: not runs(child))


def test_the_private_files_are_removed_however_late_it_is_ended(tmp_path: Path) -> None:
    (directory := tmp_path / "private").mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", _STUCK, str(directory)], cwd=ROOT, timeout=_END_SECONDS
    )
    assert ended.returncode == 128 + signal.SIGTERM
    wait_for(lambda: not directory.exists())


def test_other_signals_and_an_orderly_end_force_nothing() -> None:
    program = (
        "import os, signal\n"
        "from service.launcher.forced_stop import forced_stop\n"
        "for number in (signal.SIGUSR1, signal.SIGINT):\n"
        "    signal.signal(number, lambda *_: None)\n"
        "with forced_stop(3600):\n"
        "    signal.raise_signal(signal.SIGUSR1)\n"
        "    signal.raise_signal(signal.SIGUSR1)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "assert signal.set_wakeup_fd(-1) == -1\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=_END_SECONDS)
    assert ended.returncode == 0
