"""HAProxy goes on when it, or Serve's manager of it, is killed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.launcher import haproxy
from service.launcher.haproxy_rules import more_sections
from service.launcher.haproxy_standby import standby_of

_APPLICATION = "global\n    stats socket /h/admin mode 600 level admin\nbackend http-polyhead\n"
_NONE = f"global\nbackend default_backend\n{more_sections()}"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(os, "setpgid", lambda *_: None)
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


def test_an_application_that_was_deleted_stays_so(path: Path) -> None:
    haproxy._handed_over(_APPLICATION, ["-f", str(path)], path)
    arguments = ["-f", str(path), "-sf", "1"]
    assert haproxy._handed_over(_NONE, arguments, path) == (_NONE, arguments)
    assert haproxy._handed_over(_NONE, ["-f", str(path)], path) == (_NONE, ["-f", str(path)])


def test_the_standby_has_no_admin_socket() -> None:
    assert standby_of(_APPLICATION) == "global\nbackend http-polyhead\n"
