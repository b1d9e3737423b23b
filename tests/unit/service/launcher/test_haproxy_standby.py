"""HAProxy goes on when it, or Serve's manager of it, is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from service.launcher import haproxy, haproxy_standby
from service.launcher.haproxy_rules import more_sections
from service.launcher.haproxy_standby import standby_of
from tests.integration.service_process import wait_for
from tests.unit.service.launcher.haproxy_process import written_by_serve

_APPLICATION = "global\n    stats socket /h/admin mode 600 level admin\nbackend http-polyhead\n"
_NONE = f"global\nbackend default_backend\n{more_sections()}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cfg"


def test_a_new_manager_begins_with_what_was_served_last(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = ["-db", "-f", str(path)]
    assert haproxy._handed_over(_NONE, start, path) == (_NONE, start)
    reload = [*start, "-sf", "1"]
    assert haproxy._handed_over(_APPLICATION, reload, path) == (_APPLICATION, reload)
    config, arguments = haproxy._handed_over(_NONE, start, path)
    # This process is no HAProxy, so it is not asked to stop.
    assert (config, arguments) == (_APPLICATION, start)
    monkeypatch.setattr(haproxy, "_is_haproxy", lambda pid, directory: True)
    config, arguments = haproxy._handed_over(_NONE, start, path)
    assert (config, arguments) == (_APPLICATION, [*start, "-sf", str(os.getpid())])


@pytest.mark.parametrize("options", [{}, {"outlives_manager": True}])
def test_haproxy_outlives_its_manager_only_where_somebody_ends_it(
    options: dict[str, bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(os, "setpgid", lambda *_: calls.append("group of its own"))
    monkeypatch.setattr(os, "execv", lambda *_: calls.append("HAProxy"))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(sys, "argv", ["haproxy", "-f", str(written_by_serve(tmp_path))])
    haproxy.main(**options)
    assert calls == (["group of its own"] if options else []) + ["HAProxy"]


def test_an_application_that_was_deleted_stays_so(path: Path) -> None:
    haproxy._handed_over(_APPLICATION, ["-f", str(path)], path)
    arguments = ["-f", str(path), "-sf", "1"]
    assert haproxy._handed_over(_NONE, arguments, path) == (_NONE, arguments)
    assert haproxy._handed_over(_NONE, ["-f", str(path)], path) == (_NONE, ["-f", str(path)])


def test_the_standby_has_no_admin_socket() -> None:
    assert standby_of(_APPLICATION) == "global\nbackend http-polyhead\n"


class _Fakes:
    """A folder with HAProxies that only say that they run, and that they shall finish."""

    def __init__(self, folder: Path) -> None:
        self.node = folder / "h" / "node"
        self.node.mkdir(parents=True)
        (self.node / haproxy.SERVING_CONFIG).write_text(_APPLICATION)
        self.log = folder / "log"
        self.log.touch()
        self.binary = folder / "fake"
        # It finishes what it has for longer than any test takes.
        self.binary.write_text(
            f"#!/bin/sh\ntrap 'echo finish $$ >>{self.log}' USR1\necho start $$ >>{self.log}\n"
            "i=0; while [ $i -lt 6000 ]; do sleep 0.02; i=$((i + 1)); done\n"
        )
        self.binary.chmod(0o700)

    def said(self, word: str) -> list[int]:
        """Those who said it, in that order, each once."""
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return list(dict.fromkeys(int(pid) for first, pid in lines if first == word))

    def serving(self) -> int:
        """The process that is said to serve."""
        return int((self.node / haproxy.SERVING_PID).read_text())

    def set_serving(self, pid: int) -> None:
        """What Serve's HAProxy says of itself when it starts."""
        haproxy.replace_text(self.node / haproxy.SERVING_PID, str(pid))


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Fakes]:
    found = _Fakes(tmp_path)
    monkeypatch.setattr(haproxy_standby, "_binary", lambda: str(found.binary))
    monkeypatch.setattr(haproxy_standby, "_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(haproxy_standby, "_HANDOVER_SECONDS", 0.2)
    with haproxy_standby.standby_haproxy(tmp_path / "h"):
        try:
            yield found
        finally:
            (found.node / haproxy.SERVING_PID).unlink()
            for pid in found.said("start"):
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not any(map(psutil.pid_exists, found.said("start"))))


def _ended_process() -> int:
    with subprocess.Popen(["true"]) as process:
        return process.pid


def test_a_standby_that_finishes_has_a_successor_when_haproxy_dies_again(fakes: _Fakes) -> None:
    fakes.set_serving(_ended_process())
    wait_for(lambda: len(fakes.said("start")) == 1 and fakes.serving() == fakes.said("start")[0])
    fakes.set_serving(os.getpid())  # Serve has a new one
    wait_for(lambda: fakes.said("finish") == fakes.said("start"))
    fakes.set_serving(_ended_process())
    wait_for(lambda: len(fakes.said("start")) == 2 and fakes.serving() == fakes.said("start")[1])
    assert fakes.said("finish") == fakes.said("start")[:1]


def test_an_haproxy_that_ends_at_its_start_relieves_nobody(fakes: _Fakes) -> None:
    fakes.set_serving(_ended_process())
    wait_for(lambda: len(fakes.said("start")) == 1 and fakes.serving() == fakes.said("start")[0])
    fakes.set_serving(_ended_process())
    wait_for(lambda: len(fakes.said("start")) == 2 and fakes.serving() == fakes.said("start")[1])
    wait_for(lambda: fakes.said("finish") == fakes.said("start")[:1])
