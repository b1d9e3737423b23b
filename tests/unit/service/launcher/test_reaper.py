"""A service that was killed leaves no process and no file behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.service_process import runs, wait_for

ROOT = Path(__file__).parents[4]

# Waits for the end of its standard input inside of `reaped_on_death`, having started two processes
# that would outlive it: one holds what the second argument says, the other has the folder's name as
# an argument.
_OWNER = """
import os, subprocess, sys
from pathlib import Path
from service.launcher.reaper import reaped_on_death

directory, kind = Path(sys.argv[1]), sys.argv[2]
wait = "import sys; print('up', flush=True); sys.stdin.read()"
path = directory / "log"
if kind == "fifo":
    os.mkfifo(path)
elif kind != "folder":
    path.touch()
held = os.open(directory if kind == "folder" else path, os.O_RDONLY | os.O_NONBLOCK)
if kind == "deleted file":
    path.unlink()
with reaped_on_death(directory):
    for arguments, kept in (([], (held,)), ([str(directory)], ())):
        made = subprocess.Popen(
            [sys.executable, "-c", wait, *arguments], pass_fds=kept, start_new_session=True,
            stdin=0, stdout=subprocess.PIPE, text=True,
        )
        assert made.stdout.readline() == "up\\n"
        print(made.pid, flush=True)
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "private"
    made.mkdir()
    return made


@contextmanager
def _waiting(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A process that ends when its standard input does."""
    with subprocess.Popen(
        [sys.executable, "-c", *command],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        yield process


def _orphans(owner: subprocess.Popen[str]) -> list[int]:
    assert owner.stdout is not None
    *pids, ready = (owner.stdout.readline().strip() for _ in range(3))
    assert ready == "ready"
    return [int(pid) for pid in pids]


@pytest.mark.parametrize("held", ["file", "deleted file", "folder", "fifo"])
def test_a_kill_ends_who_worked_in_the_folder_and_nobody_else(directory: Path, held: str) -> None:
    with (
        _waiting("import sys; sys.stdin.read()", str(directory.parent)) as bystander,
        _waiting(_OWNER, str(directory), held) as owner,
    ):
        orphans = _orphans(owner)
        assert all(map(runs, orphans))
        owner.kill()
        wait_for(lambda: not any(map(runs, orphans)))
        wait_for(lambda: not directory.exists())
        assert bystander.poll() is None


def test_an_orderly_end_is_left_to_the_owner(directory: Path) -> None:
    with _waiting(_OWNER, str(directory), "file") as owner:
        _orphans(owner)
        owner.communicate(timeout=60)
    assert owner.returncode == 0
    assert (directory / "log").exists()
