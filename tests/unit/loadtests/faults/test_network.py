"""Machines on a bridge reach each other until a cable is pulled, and leave nothing behind."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from loadtests.faults.network import PROGRAMS, Machine, Network
from loadtests.processes import wait_for
from tests.integration.service_process import runs
from tests.surroundings import refused


@pytest.fixture
def in_thread() -> Iterator[ThreadPoolExecutor]:
    """A thread to make networks on, so that this one stays where it is."""
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        pytest.skip(f"{missing[0]} is not installed")
    if reason := refused():
        pytest.skip(reason)
    with ThreadPoolExecutor(max_workers=1) as thread:
        yield thread


def _namespace() -> str:
    return os.readlink("/proc/thread-self/ns/net")


def _reaches(machine: Machine, port: int) -> bool:
    """Whether a program there can connect to this process."""
    code = f"import socket; socket.create_connection(('10.77.0.1', {port}), timeout=1)"
    command = [*machine.command, sys.executable, "-c", code]
    return not subprocess.run(
        command, stderr=subprocess.DEVNULL, timeout=60, check=False
    ).returncode


def _try_cables(folder: Path) -> None:
    before = _namespace()
    network = Network()
    try:
        assert _namespace() != before
        first, second = network.add([folder]), network.add([folder])
        with socket.create_server(("10.77.0.1", 0)) as server:
            port = server.getsockname()[1]
            assert _reaches(first, port)
            first.pull()
            assert not _reaches(first, port)
            assert _reaches(second, port)
            first.plug()
            assert _reaches(first, port)
        # Each has such a folder for itself.
        first.run("touch", str(folder / "a"))
        second.run("test", "!", "-e", str(folder / "a"))
        assert list(folder.iterdir()) == []
    finally:
        network.close()
    assert _namespace() == before


def test_cables_are_pulled_and_put_back(in_thread: ThreadPoolExecutor, tmp_path: Path) -> None:
    outside = _namespace()
    in_thread.submit(_try_cables, tmp_path).result()
    assert _namespace() == outside


_LOAD_TEST = """
import signal, subprocess
from loadtests.faults.network import Network

node = [*Network().add([]).command, "sleep", "infinity"]
started = subprocess.Popen(node, start_new_session=True)
print("up", flush=True)
signal.pause()
"""


@pytest.mark.usefixtures("in_thread")
def test_machines_end_with_a_load_test_that_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _LOAD_TEST], stdout=subprocess.PIPE, cwd=Path(__file__).parents[4]
    ) as load_test:
        try:
            assert load_test.stdout is not None
            assert load_test.stdout.readline() == b"up\n"
            children = psutil.Process(load_test.pid).children()
            assert wait_for(lambda: [each.name() for each in children] == ["sleep"] * 2, 30)
        finally:
            load_test.kill()
    assert wait_for(lambda: not any(runs(each.pid) for each in children), 30)
