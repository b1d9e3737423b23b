"""Finding, and ending, exactly the processes that were started."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from service.launcher import local_ray
from tests.integration.service_process import runs

ROOT = Path(__file__).parents[4]

# A family of three: the middle one ends and leaves its child an orphan.
_FAMILY = """
import os, subprocess, sys
from service.launcher.local_ray import become_subreaper, descendants, kill_descendants

become_subreaper()
sleeper = [sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"]
parent = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:]).pid, flush=True)"
made = subprocess.Popen([sys.executable, "-c", parent, *sleeper], stdout=subprocess.PIPE, text=True)
orphan = int(made.stdout.readline())
assert made.stdout.readline() == "up\\n"
made.wait()
child = subprocess.Popen(sleeper, stdout=subprocess.PIPE, text=True)
assert child.stdout.readline() == "up\\n"
found = {process.pid for process in descendants()}
print(found == {orphan, child.pid}, flush=True)
kill_descendants()
print(descendants(), child.wait(), flush=True)
print(orphan, flush=True)
"""


def test_orphans_are_found_and_ended_with_the_others() -> None:
    with _bystander() as bystander:
        ran = subprocess.run(
            [sys.executable, "-c", _FAMILY], cwd=ROOT, capture_output=True, text=True, timeout=120
        )
        found_both, killed, orphan = ran.stdout.splitlines()
        assert found_both == "True", ran.stderr
        assert killed == "[] -9"
        assert not runs(int(orphan))
        assert bystander.poll() is None


@contextmanager
def _bystander() -> Iterator[subprocess.Popen[bytes]]:
    """Somebody else's process."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        yield process


def test_the_environment_is_private_quiet_and_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RAY_ADDRESS", "somewhere:6379")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/somewhere")
    monkeypatch.setenv("RAY_SERVE_HAPROXY_BINARY_PATH", "/somewhere/else")
    # Whatever is written goes to a copy.
    monkeypatch.setattr(os, "environ", dict(os.environ))
    front = {"RAY_SERVE_HAPROXY_BINARY_PATH": "/ours"}
    local_ray._prepare_environment(front)
    first = dict(os.environ)
    local_ray._prepare_environment(front)
    assert "RAY_ADDRESS" not in first
    assert "RAY_AUTH_TOKEN_PATH" not in first
    assert first["RAY_SERVE_HAPROXY_BINARY_PATH"] == "/ours"
    assert first["RAY_AUTH_MODE"] == "token"
    assert len(first["RAY_AUTH_TOKEN"]) >= 32
    assert first["RAY_AUTH_TOKEN"] != os.environ["RAY_AUTH_TOKEN"]


def test_ray_has_the_cpus_that_are_granted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    options: dict[str, object] = {}
    monkeypatch.setattr(local_ray, "granted_cpus", lambda: 3)
    monkeypatch.setattr("ray.init", lambda **given: options.update(given))
    monkeypatch.setattr("service.launcher.ray_node.few_processes", nullcontext)
    local_ray._start(tmp_path)
    assert options["num_cpus"] == 3


def test_the_directory_is_private_and_its_path_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/" + "long/" * 20)
    with local_ray._private_directory() as directory:
        assert directory.parent == Path("/tmp")
        assert directory.stat().st_mode & 0o077 == 0
    assert not directory.exists()
