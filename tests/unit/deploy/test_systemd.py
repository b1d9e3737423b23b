"""The unit for systemd: what systemd itself says of it, and that what it names is there."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[3] / "deploy" / "polyhead.service"
_MOST_EXPOSED = 20
"""In tenths of the points that `systemd-analyze security` gives: 10 is a service without bounds."""

_has_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze: install systemd"
)


def _settings(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(encoding="utf-8"), flags=re.MULTILINE)


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, timeout=60,
        env=os.environ | {"SYSTEMD_LOG_LEVEL": "warning", "LC_ALL": "C"}, check=False,
    )  # fmt: skip


@_has_analyze
def test_systemd_takes_every_line(tmp_path: Path) -> None:
    # Its programs must be there.
    program = tmp_path / "polyhead"
    program.write_text("#!/bin/sh\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    unit = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8")
    assert "/opt/polyhead/bin/polyhead" in text
    unit.write_text(text.replace("/opt/polyhead/bin/polyhead", str(program)))
    ran = _analyze("verify", "--recursive-errors=no", "--man=no", str(unit))
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


@_has_analyze
def test_it_is_confined() -> None:
    threshold = f"--threshold={_MOST_EXPOSED}"
    ran = _analyze("security", "--offline=yes", threshold, str(UNIT))
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_it_does_what_the_command_does() -> None:
    from service.launcher.launch import READY_SECONDS

    [start] = _settings("ExecStart")
    assert start.split()[1:] == [
        "serve", "--single-process", "--host", "127.0.0.1", "--port", "8000",
    ]  # fmt: skip
    # It says when it is ready, and ends what it has started by itself.
    assert (_settings("Type"), _settings("KillMode")) == (["notify"], ["mixed"])
    assert int(_settings("TimeoutStartSec")[0]) > READY_SECONDS
    assert int(_settings("TimeoutStopSec")[0]) > 10
