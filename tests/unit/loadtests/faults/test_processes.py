"""Processes by session and title, as /proc tells."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from loadtests.faults.processes import kill_session, pids, wait_for
from service.launcher.ports import free_port

_SLEEPER = "import sys; sys.stdin.read()"
_PARENT = (
    "import subprocess, sys; "
    "child = subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()', 'the child']);"
    "print(child.pid, flush=True); child.wait()"
)


@pytest.fixture
def session() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process with a session of its own, and the id of a child of it; both wait for stdin."""
    with ExitStack() as stack:
        parent = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", _PARENT, "the parent"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        )
        stack.callback(kill_session, parent.pid)
        assert parent.stdout is not None
        yield parent, int(parent.stdout.readline())


def test_finds_all_of_a_session_the_oldest_first(
    session: tuple[subprocess.Popen[bytes], int],
) -> None:
    parent, child = session
    assert pids(parent.pid) == [parent.pid, child]
    assert pids(os.getsid(0), "the parent") == []


def test_finds_by_words_that_stand_apart(session: tuple[subprocess.Popen[bytes], int]) -> None:
    parent, child = session
    assert wait_for(lambda: pids(parent.pid, "read() the child") == [child], 30)
    assert pids(parent.pid, "nothing of that kind") == []


def test_kills_all_of_a_session_and_no_other(
    session: tuple[subprocess.Popen[bytes], int],
) -> None:
    parent, _ = session
    command = [sys.executable, "-c", _SLEEPER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as other:
        kill_session(parent.pid)
        assert pids(parent.pid) == []
        assert pids(other.pid) == [other.pid]
        other.kill()


def test_killing_nobody_does_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""], start_new_session=True) as ended:
        ended.wait()
    kill_session(ended.pid)


def test_what_a_condition_raises_means_not_yet() -> None:
    left = [ValueError, OSError]

    def condition() -> bool:
        if left:
            raise left.pop()
        return True

    assert wait_for(condition, 30)
    assert left == []


def test_waiting_ends() -> None:
    assert not wait_for(lambda: False, 0.0)


def test_a_free_port_can_be_listened_on() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        assert server.getsockname()[1] >= 1024
