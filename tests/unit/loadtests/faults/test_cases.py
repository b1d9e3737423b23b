"""What the cases do to the processes of a service."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from loadtests.faults import cases
from loadtests.faults import cluster as services
from loadtests.faults.cases import CASES, TRANSLATOR
from loadtests.faults.cluster import ServiceError
from loadtests.processes import start_python, wait_for

_WAITER = "import sys; sys.stdin.read()"
_NODE = "import signal; print('Ray runtime started.', flush=True); signal.pause()"


class _Processes:
    """Two translators, as far as anybody can tell from outside."""

    url = "http://127.0.0.1:1"

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        command = [sys.executable, "-c", _WAITER]
        self.all = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE)) for _ in range(2)
        ]
        for process in self.all:
            stack.callback(process.kill)

    def pids(self, title: str) -> list[int]:
        assert title == TRANSLATOR
        return [process.pid for process in self.all if process.poll() is None]

    def close(self) -> None: ...


@pytest.fixture
def translators(tmp_path: Path) -> Iterator[_Processes]:
    with ExitStack() as stack:
        yield _Processes(tmp_path, stack)


def _state(process: subprocess.Popen[bytes]) -> str:
    """As psutil names it."""
    return str(psutil.Process(process.pid).status())


def test_a_kill_hits_the_oldest_alone(translators: _Processes) -> None:
    CASES["translator-killed"].inject(translators)
    assert translators.all[0].wait(30) == -signal.SIGKILL
    assert translators.all[1].poll() is None


def test_what_hangs_goes_on_in_the_end(
    translators: _Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung = translators.all[1]
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        assert wait_for(lambda: _state(hung) == psutil.STATUS_STOPPED, 30)
        assert _state(translators.all[0]) != psutil.STATUS_STOPPED

    monkeypatch.setattr(cases, "sleep", sleep)
    CASES["translator-hung"].inject(translators)
    assert slept == [15.0]
    assert wait_for(lambda: _state(hung) != psutil.STATUS_STOPPED, 30)


def test_what_was_killed_while_it_hung_is_left_alone(
    translators: _Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung = translators.all[1]

    def kill(_: float) -> None:
        hung.kill()
        hung.wait(30)

    monkeypatch.setattr(cases, "sleep", kill)
    CASES["translator-hung"].inject(translators)
    assert hung.returncode == -signal.SIGKILL


def test_memory_runs_out_for_those_that_follow(translators: _Processes) -> None:
    case = CASES["load-out-of-memory"]
    case.inject(translators)
    assert translators.all[0].wait(30) == -signal.SIGKILL
    left = translators.folder / "break-load"
    assert int(left.read_text(encoding="utf-8")) > 3
    assert not case.over(translators)
    left.write_text("0", encoding="utf-8")
    assert case.over(translators)


def test_a_step_that_breaks_is_asked_for_by_a_file(translators: _Processes) -> None:
    CASES["engine-error"].inject(translators)
    assert (translators.folder / "break-step").exists()
    assert len(translators.pids(TRANSLATOR)) == 2


def test_all_translators_are_of_the_model_that_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    def start(arguments: list[str], *_: object, **__: object) -> None:
        started.extend(arguments)
        raise ServiceError("it need not run")

    monkeypatch.setattr(services, "start_python", start)
    with pytest.raises(ServiceError, match="need not run"):
        CASES["translator-killed"].start(tmp_path)
    models = [after for option, after in pairwise(started) if option == "--model"]
    assert models == cases._CLUSTER["models"] == ["en-de"]


def test_names_and_titles_are_not_used_twice() -> None:
    assert len({case.title for case in CASES.values()}) == len(CASES)
    assert all(name == name.lower() and " " not in name for name in CASES)


def test_only_fronts_may_cost_requests() -> None:
    one_front = {name for name, case in CASES.items() if case.one_front}
    assert one_front == {"haproxy-killed", "haproxy-manager-killed", "head-killed"}
    assert {name for name, case in CASES.items() if case.lasting} == {"head-killed"}


class _Nodes:
    """A head and a worker, as far as a process called raylet goes."""

    def __init__(self, stack: ExitStack) -> None:
        command = [sys.executable, "-c", _WAITER, "raylet"]
        self.nodes = []
        for _ in range(2):
            node = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
            self.nodes.append(stack.enter_context(node))
            stack.callback(node.kill)


def test_one_nodes_raylet_is_killed_or_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        cluster = _Nodes(stack)
        head, worker = cluster.nodes
        slept = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            assert wait_for(lambda: _state(worker) == psutil.STATUS_STOPPED, 30)

        monkeypatch.setattr(cases, "sleep", sleep)
        CASES["worker-raylet-hung"].inject(cluster)
        assert slept == [60.0]
        assert wait_for(lambda: _state(worker) != psutil.STATUS_STOPPED, 30)
        CASES["worker-raylet-killed"].inject(cluster)
        assert worker.wait(30) == -signal.SIGKILL
        assert head.poll() is None


def test_a_supervised_node_that_has_ended_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: object, log: Path, *__: object, **___: object) -> subprocess.Popen[bytes]:
        return start_python(["-c", _NODE], log)

    monkeypatch.setattr(services, "start_python", start)
    monkeypatch.setattr(services, "_RESTART_SECONDS", 0.01)
    monkeypatch.setattr(services.Cluster, "_dashboard_answers", lambda _: True)
    cluster = services.Cluster(tmp_path)
    try:
        cluster.supervise()
        killed = cluster.head
        killed.kill()
        assert wait_for(lambda: cluster.head is not killed and cluster.restarts == 1, 30)
        assert cluster.head.poll() is None
        assert cluster.nodes == [cluster.head]
    finally:
        cluster.close()
    assert cluster.head.poll() is not None
