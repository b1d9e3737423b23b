"""A fork server for Ray's workers: what a worker finds, and what happens without one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray._private.workers import setup_worker

from service.launcher import fork_client
from service.launcher.fork_server import fork_server, worker_arguments

_REPORT = """
import json, logging, os, signal, sys, time
from ray._raylet import UniqueID
word = sys.stdin.readline()
loaded = [name for name in ("ray.serve", "numpy", "service.app", "torch") if name in sys.modules]
print(json.dumps({
    "argv": sys.argv, "directory": os.getcwd(), "word": word, "own": os.environ["OWN"],
    "of_server": os.environ.get("OF_SERVER"), "loaded": loaded, "main": __name__,
    "children": signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL,
    "threads": len(os.listdir("/proc/self/task")), "niceness": os.nice(0),
    "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
    "own_group": os.getpgid(0) == os.getpid(), "log_errors": logging.raiseExceptions,
    "steady": sys.modules["ray.serve._private.deployment_state"].time is not time,
    "id": UniqueID.from_random().hex(),
}))
print("to the other stream", file=sys.stderr)
"""
_REPORTS_OWN = "import os, sys; print(os.environ['OWN'], sys.stdin.readline())"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The socket of a server with a variable of its own."""
    monkeypatch.setenv("OF_SERVER", "yes")
    with fork_server(tmp_path) as place:
        yield place


def start(place: Path, command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    """What the raylet does; ends when nobody can write to the streams any more."""

    def as_raylet() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.nice(3)

    return subprocess.run(
        [sys.executable, "-I", "-S", fork_client.__file__, str(place), *command],
        env={"OWN": "mine", "RAY_JOB_ID": "01000000", "RAY_RAYLET_PID": str(os.getpid())},
        cwd=directory, input="word", capture_output=True, text=True, timeout=240, check=True,
        preexec_fn=as_raylet,
    )  # fmt: skip


def ray_command(program: Path, *arguments: str) -> list[str]:
    """What Ray starts for a worker."""
    return [sys.executable, setup_worker.__file__, str(program), *arguments, "--language=PYTHON"]


def server() -> psutil.Process:
    """The process of the server that runs."""
    [found] = [
        child
        for child in psutil.Process().children()
        if "fork server" in " ".join(child.cmdline()) or "fork_server.py" in child.cmdline()[1]
    ]
    return found


def test_a_worker_has_what_its_client_had_and_modules_and_ids_besides(
    place: Path, tmp_path: Path
) -> None:
    program = tmp_path / "worker.py"
    program.write_text(_REPORT)
    reports: list[dict[str, Any]] = []
    for _ in range(2):
        ran = start(place, ray_command(program, "--a=b"), tmp_path)
        reports.append(json.loads(ran.stdout))
        assert ran.stderr == "to the other stream\n"
    ids = {report.pop("id") for report in reports}
    expected = {
        "argv": [str(program), "--a=b"], "directory": str(tmp_path), "word": "word",
        "own": "mine", "of_server": None, "loaded": ["ray.serve", "numpy", "service.app"],
        "main": "__main__", "children": True, "threads": 1, "niceness": os.nice(0) + 3,
        "blocked": [signal.SIGINT], "own_group": True, "log_errors": False,
        "steady": True,
    }  # fmt: skip
    assert reports == [expected, expected]
    assert len(ids) == 2


def test_without_a_server_a_worker_is_started_as_ray_does(tmp_path: Path) -> None:
    own = [sys.executable, "-c", _REPORTS_OWN]
    with fork_server(tmp_path) as place:
        server().kill()
        assert start(place, own, tmp_path).stdout == "mine word\n"
    assert start(place, own, tmp_path).stdout == "mine word\n"
    assert start(tmp_path / "nothing", own, tmp_path).stdout == "mine word\n"


def test_a_server_that_does_not_answer_starts_no_second_worker_later(
    place: Path, tmp_path: Path
) -> None:
    started, program = tmp_path / "started", tmp_path / "worker.py"
    program.write_text(f"open({str(started)!r}, 'a').write('forked ')")
    stopped = server()
    stopped.suspend()
    impatient = (
        f"import sys; sys.path.insert(0, {str(Path(fork_client.__file__).parent)!r}); "
        "import fork_client; fork_client._ANSWER_SECONDS = 0.1; fork_client.main()"
    )
    own = tmp_path / "own"
    own.write_text(f"#!/bin/sh\nprintf 'own ' >> {started}\n")
    own.chmod(0o700)
    becomes = [str(own), *ray_command(program)[1:]]
    client = [sys.executable, "-I", "-S", "-c", impatient, str(place), *becomes]
    subprocess.run(client, timeout=240, check=True)
    assert started.read_text() == "own "
    stopped.resume()
    start(place, ray_command(program), tmp_path)  # which it answers after that
    assert started.read_text() == "own forked "


def test_a_worker_gets_what_rays_own_set_up_would_give_it() -> None:
    command = ["python", "setup_worker.py", "default_worker.py", "--node-id=a", "--language=PYTHON"]
    assert worker_arguments(command) == ["default_worker.py", "--node-id=a"]
    nothing = "--serialized-runtime-env-context={}"
    assert worker_arguments([*command, nothing]) == ["default_worker.py", "--node-id=a"]


@pytest.mark.parametrize(
    "more", ["--language=JAVA", '--serialized-runtime-env-context={"env_vars": {"A": "b"}}']
)
def test_a_worker_that_needs_more_is_left_to_ray(more: str) -> None:
    command = ["python", "setup_worker.py", "default_worker.py", "--language=PYTHON", more]
    assert worker_arguments(command) is None
