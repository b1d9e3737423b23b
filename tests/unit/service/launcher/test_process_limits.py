"""Limits that all processes of the service inherit."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from service.launcher import process_limits

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


_V2 = "30 23 0:26 / /cgroup rw shared:9 - cgroup2 cgroup2 rw"
_V1 = "31 24 0:27 / /cgroup/memory rw - cgroup cgroup rw,memory"


def _system(folder: Path, own: str, files: dict[str, str]) -> Path:
    """A root directory with /proc/self and files of cgroups, by path below /cgroup."""
    proc = folder / "proc/self"
    proc.mkdir(parents=True)
    (proc / "cgroup").write_text(f"{own}\n")
    (proc / "mountinfo").write_text(f"{_V2}\n{_V1}\n")
    for name, text in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return folder


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "700", "memory.max": "900"}, 700),
        ("0::/", {"memory.max": "900"}, 900),  # as a container sees it
        ("3:memory:/a\n0::/", {"memory/a/memory.limit_in_bytes": "500"}, 500),
        ("3:cpu:/a\n0::/", {"cpu/a/memory.limit_in_bytes": "500", "memory.max": "max"}, 1000),
    ],
)
def test_memory_is_what_the_cgroups_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, files: dict[str, str], limit: int
) -> None:
    machine = psutil.virtual_memory()._replace(total=1000)
    monkeypatch.setattr("psutil.virtual_memory", lambda: machine)
    assert process_limits.memory_limit(_system(tmp_path, own, files)) == limit


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
    assert process_limits.free_threads(_system(tmp_path, "0::/a/b", files)) == 35
