"""Serve's configuration of HAProxy, put right."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

from service.haproxy import rewritten, serve_variables

CONFIG = """\
global
    stats socket /tmp/x/admin.sock mode 666 level admin expose-fd listeners
defaults
    mode http
    errorfile 502 /tmp/x/500.http
    errorfile 503 /tmp/x/500.http
    errorfile 504 /tmp/x/500.http
    balance leastconn
frontend prometheus
    bind :9101
    mode http
frontend http_frontend
    bind 127.0.0.1:8000
    http-request return status 200 content-type text/plain string "success" if healthcheck
    default_backend default_backend
backend default_backend
    http-request return status 404 content-type text/plain lf-string "Path '%[path]' not found."
listen stats
  bind *:8404
  stats enable
"""


def _rewritten(host: str | None = None, admin_host: str = "127.0.0.1") -> list[str]:
    answer = Path("/tmp/x/503")
    text = rewritten(CONFIG, host=host, admin_host=admin_host, answer=answer)
    return [line.strip() for line in text.splitlines()]


def test_nothing_but_the_front_leaves_the_machine() -> None:
    lines = _rewritten(host="0.0.0.0")
    binds = [line for line in lines if line.startswith("bind")]
    assert binds == ["bind 127.0.0.1:9101", "bind 0.0.0.0:8000", "bind 127.0.0.1:8404"]


def test_without_a_host_the_front_stays_where_serve_put_it() -> None:
    assert "bind 127.0.0.1:8000" in _rewritten()


def test_statistics_may_do_without_ports() -> None:
    lines = _rewritten(admin_host="")
    assert [line for line in lines if line.startswith("bind")] == [
        "bind unix@/tmp/x/9101",
        "bind 127.0.0.1:8000",
        "bind unix@/tmp/x/8404",
    ]


def test_answers_of_its_own_are_ours() -> None:
    lines = _rewritten()
    assert [line for line in lines if line.startswith("errorfile")] == [
        f"errorfile {status} /tmp/x/503" for status in (502, 503, 504)
    ]
    assert "http-request return status 503 default-errorfiles" in lines
    assert not any("404" in line for line in lines if "8404" not in line)


def test_all_else_stays_as_it_is() -> None:
    changed = [
        (old.strip(), new)
        for old, new in zip(CONFIG.splitlines(), _rewritten(), strict=True)
        if old.strip() != new
    ]
    assert len(changed) == 6


def test_twice_is_once() -> None:
    answer = Path("/tmp/x/503")
    once = rewritten(CONFIG, host="::1", admin_host="", answer=answer)
    assert rewritten(once, host="::1", admin_host="", answer=answer) == once


def test_the_program_is_for_us_alone_and_any_folder(tmp_path: Path) -> None:
    program = Path(serve_variables(tmp_path, host="127.0.0.1")["RAY_SERVE_HAPROXY_BINARY_PATH"])
    assert stat.S_IMODE(program.stat().st_mode) == 0o700
    version = subprocess.run(
        [program, "-v"], cwd="/", capture_output=True, text=True, timeout=60, check=True
    )
    assert version.stdout.startswith("HAProxy version")
    assert sys.executable in program.read_text()
