"""A fork server for Ray's workers: what a worker finds, and what happens without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ray._private.workers import setup_worker

from service.launcher import fork_client
from service.launcher.fork_server import fork_server, worker_arguments

_REPORT = """
import json, os, signal, sys
word = sys.stdin.readline()
loaded = [name for name in ("ray.serve", "numpy", "service.app", "torch") if name in sys.modules]
print(json.dumps({
    "argv": sys.argv, "directory": os.getcwd(), "word": word, "own": os.environ["OWN"],
    "of_server": os.environ.get("OF_SERVER"), "loaded": loaded, "main": __name__,
    "children": signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL,
    "threads": len(os.listdir("/proc/self/task")),
}))
print("to the other stream", file=sys.stderr)
"""


def start(place: Path, command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    """What the raylet does; ends when nobody can write to the streams any more."""
    return subprocess.run(
        [sys.executable, "-I", "-S", fork_client.__file__, str(place), *command],
        env={"OWN": "mine", "RAY_JOB_ID": "01000000", "RAY_RAYLET_PID": str(os.getpid())},
        cwd=directory, input="word", capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip


def test_a_worker_has_what_its_client_had_and_modules_besides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_SERVER", "yes")
    program = tmp_path / "worker.py"
    program.write_text(_REPORT)
    ray_own = [sys.executable, setup_worker.__file__, str(program), "--a=b", "--language=PYTHON"]
    with fork_server(tmp_path) as place:
        for _ in range(2):
            ran = start(place, ray_own, tmp_path)
            assert json.loads(ran.stdout) == {
                "argv": [str(program), "--a=b"], "directory": str(tmp_path), "word": "word",
                "own": "mine", "of_server": None, "loaded": ["ray.serve", "numpy", "service.app"],
                "main": "__main__", "children": True, "threads": 1,
            }  # fmt: skip
            assert ran.stderr == "to the other stream\n"


def test_without_a_server_a_worker_is_started_as_ray_does(tmp_path: Path) -> None:
    own = [sys.executable, "-c", "import os, sys; print(os.environ['OWN'], sys.stdin.readline())"]
    with fork_server(tmp_path) as place:
        pass
    assert start(place, own, tmp_path).stdout == "mine word\n"
    assert start(tmp_path / "nothing", own, tmp_path).stdout == "mine word\n"


def test_a_worker_gets_what_rays_own_set_up_would_give_it() -> None:
    command = [
        "python", "setup_worker.py", "default_worker.py", "--node-id=a", "--language=PYTHON",
        "--serialized-runtime-env-context={}",
    ]  # fmt: skip
    assert worker_arguments(command) == ["default_worker.py", "--node-id=a"]
