"""Finding, and ending, exactly the processes that were started."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from urllib.request import proxy_bypass_environment

import grpc
import psutil
import pytest

from service.launcher import local_ray
from service.launcher.local_ray import LaunchError
from service.launcher.ports import free_port
from tests.integration.service_process import runs, wait_for

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


def test_a_ray_that_has_died_before_is_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(local_ray, "descendants", list)
    waiting = threading.Thread(target=local_ray.wait_for_ray_exit, args=(tmp_path,), daemon=True)
    waiting.start()
    waiting.join(60)
    assert not waiting.is_alive()


@contextmanager
def _bystander() -> Iterator[subprocess.Popen[bytes]]:
    """Somebody else's process."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        yield process


def test_a_worker_that_stays_stopped_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    with _sleeping("ray::A") as stopped, _sleeping("ray::B") as runs_on, _sleeping("gdb") as other:
        ours = [psutil.Process(process.pid) for process in (stopped, runs_on, other)]
        monkeypatch.setattr(local_ray, "descendants", lambda: ours)
        assert local_ray.kill_stopped(set()) == set()
        ours[0].suspend()
        ours[2].suspend()
        wait_for(lambda: ours[0].status() == ours[2].status() == psutil.STATUS_STOPPED)
        once = local_ray.kill_stopped(set())
        assert once == {ours[0]}
        assert stopped.poll() is None
        local_ray.kill_stopped(once)
        assert stopped.wait(60) == -signal.SIGKILL
        assert runs_on.poll() is None
        assert other.poll() is None


_ORPHAN = """
import psutil, subprocess, sys
from service.launcher.local_ray import become_subreaper, reap_orphans

become_subreaper()
parent = "import subprocess; print(subprocess.Popen(['sleep', '1']).pid)"
own = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
orphan = psutil.Process(int(own.communicate(timeout=60)[0]))
while orphan.status() != psutil.STATUS_ZOMBIE:
    pass
reap_orphans()
print(orphan.is_running(), own.poll())
"""


def test_an_orphan_that_has_ended_is_reaped() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _ORPHAN], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert ran.stdout == "False 0\n", ran.stderr


@contextmanager
def _sleeping(title: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process with that title."""
    with subprocess.Popen([title, "infinity"], executable=shutil.which("sleep")) as process:
        try:
            yield process
        finally:
            process.kill()


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
    monkeypatch.setattr("service.launcher.ray_node.few_processes", lambda *_: nullcontext())
    local_ray._start(tmp_path, None)
    assert options["num_cpus"] == 3


def test_the_directory_is_private_and_its_path_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/" + "long/" * 20)
    with local_ray._private_directory() as directory:
        assert directory.parent == Path("/tmp")
        assert directory.stat().st_mode & 0o077 == 0
    assert not directory.exists()


def test_a_full_disk_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    nearly_full = shutil.disk_usage("/tmp")._replace(free=3 * 2**20)
    monkeypatch.setattr("shutil.disk_usage", lambda _: nearly_full)
    with (
        pytest.raises(LaunchError, match=r"64 MiB free, but is not: only 3 MiB are free; TMPDIR"),
        local_ray._private_directory(),
    ):
        pass


def test_without_any_folder_to_write_to_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_usable() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", none_usable)
    with (
        pytest.raises(LaunchError, match=r"^/tmp must be a folder .* No usable temporary"),
        local_ray._private_directory(),
    ):
        pass


@pytest.mark.parametrize(
    ("given", "all_of_it"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "corp.example"}, "corp.example,127.0.0.1,localhost,::1"),
        ({"no_proxy": "localhost, a", "NO_PROXY": "b"}, "localhost,a,127.0.0.1,::1"),
    ],
)
def test_processes_on_this_machine_ask_no_proxy_for_each_other(
    given: dict[str, str], all_of_it: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("no_proxy", "NO_PROXY", "no_grpc_proxy")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert local_ray._proxy_exceptions() == dict.fromkeys(names, all_of_it)


@pytest.mark.parametrize("given", ["*", "corp.example, *"])
def test_a_star_goes_on_meaning_that_nobody_is_asked(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", given)
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    for name, value in local_ray._proxy_exceptions().items():
        monkeypatch.setenv(name, value)
    for host in ("127.0.0.1", "10.0.0.1", "other.example"):
        assert proxy_bypass_environment(host)
    assert _reaches_itself_by_grpc(monkeypatch)


def test_grpc_keeps_its_own_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_grpc_proxy", "corp.example")
    of_grpc = local_ray._proxy_exceptions()["no_grpc_proxy"]
    assert of_grpc == "corp.example,127.0.0.1,localhost,::1"


def _reaches_itself_by_grpc(monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether gRPC, by which gateways call replicas, goes past a proxy that is not there."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                grpc.channel_ready_future(channel).result(20)
            return True
        except grpc.FutureTimeoutError:
            return False
        finally:
            server.stop(None).wait()
