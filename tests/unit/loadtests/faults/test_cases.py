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
from loadtests.processes import wait_for

_WAITER = "import sys; sys.stdin.read()"


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

    def start(arguments: list[str], *_: object) -> None:
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
