"""Limits that all processes of the service inherit."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from service.launcher import process_limits
from tests.cgroup_files import system_with

ROOT = Path(__file__).parents[4]
_CAP_SYS_RESOURCE = 24
"""Linux's constant; see capabilities(7)."""

_NO_DUMPS = """
import subprocess, sys
from service.launcher.process_limits import forbid_core_dumps
forbid_core_dumps()
print(subprocess.check_output(["cat", "/proc/self/limits"], text=True))
"""
_NO_CORE_ALLOWED = f"""
import resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
{_NO_DUMPS}"""
_OPEN_FILES = """
import resource
from service.launcher.process_limits import raise_open_files
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (100, min(hard, 512)))
print(raise_open_files(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""
_THREADS = """
import os, resource
from service.launcher import process_limits
from tests.cgroup_files import system_with
if not os.getuid():
    os.setresuid(4321, 4321, 4321)
hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
most = 9_000 if hard == resource.RLIM_INFINITY else min(hard, 9_000)
resource.setrlimit(resource.RLIMIT_NPROC, (50, most))
print(process_limits.free_threads() == most - process_limits._threads_of_this_user())
"""


def _output(program: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def _core_limits(program: str) -> list[str]:
    [line] = [line for line in _output(program).splitlines() if line.startswith("Max core")]
    return line.split()[4:6]


def test_a_child_dumps_no_core_neither_to_a_file_nor_to_a_program() -> None:
    assert _core_limits(_NO_DUMPS) == ["1", "1"]


def test_a_hard_limit_of_zero_is_a_byte_for_those_who_may_raise_it() -> None:
    with open("/proc/self/status") as file:
        [line] = [line for line in file if line.startswith("CapEff:")]
    may_raise = int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1
    assert _core_limits(_NO_CORE_ALLOWED) == (["1", "1"] if may_raise else ["0", "0"])


def test_open_files_are_raised_to_what_there_may_be() -> None:
    assert _output(_OPEN_FILES).split() == ["512", "512", "512"]


def test_threads_that_a_user_may_still_start() -> None:
    assert _output(_THREADS).strip() == "True"


def test_threads_that_the_cgroups_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a service of systemd has them, whose own cgroup is below the root."""
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr("resource.getrlimit", lambda which: unlimited)
    files = {
        "pids.current": "4000",
        "a/pids.max": "60",
        "a/pids.current": "25",
        "a/b/pids.max": "max",
        "a/b/pids.current": "20",
    }
    assert process_limits.free_threads(system_with(tmp_path, "0::/a/b", files)) == 35
