"""Serve's configuration of HAProxy, put right."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from service.launcher.haproxy import (
    ConfigurationError,
    HAProxyOptions,
    rewritten,
    serve_variables,
)

CONFIG = """\
global
    log 127.0.0.1:514 local0 info
    stats socket /tmp/x/admin.sock mode 666 level admin expose-fd listeners
    maxconn 4096
    tune.bufsize 16384
defaults
    mode http
    option log-health-checks
    log global
    option httplog
    option splice-request
    option splice-response
    retry-on conn-failure
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
backend http-polyhead
    log global
    http-reuse always
    server gateway-1 127.0.0.1:30000 check observe layer4 error-limit 3 on-error mark-down
    server proxy 127.0.0.1:8500 check backup
"""


def _rewritten(
    config: str = CONFIG, *, host: str = "", admin_host: str = "127.0.0.1", **options: int
) -> list[str]:
    chosen = HAProxyOptions(host=host, admin_host=admin_host, **{"max_in_flight": 64, **options})
    text = rewritten(config, chosen, directory=Path("/tmp/x"))
    return [line.strip() for line in text.splitlines()]


def test_nothing_but_the_front_leaves_the_machine() -> None:
    lines = _rewritten(host="0.0.0.0")
    binds = [line for line in lines if line.startswith("bind")]
    assert binds == ["bind 127.0.0.1:9101", "bind 0.0.0.0:8000 proto h1", "bind 127.0.0.1:8404"]


def test_without_a_host_the_front_stays_where_serve_put_it() -> None:
    assert "bind 127.0.0.1:8000 proto h1" in _rewritten()


def test_a_front_on_every_interface_stays_there() -> None:
    lines = _rewritten(CONFIG.replace("bind 127.0.0.1:8000", "bind *:8000"))
    binds = [line for line in lines if line.startswith("bind")]
    assert binds == ["bind 127.0.0.1:9101", "bind *:8000 proto h1", "bind 127.0.0.1:8404"]


def test_statistics_may_do_without_ports() -> None:
    lines = _rewritten(admin_host="")
    assert [line for line in lines if line.startswith("bind")] == [
        "bind unix@/tmp/x/9101",
        "bind 127.0.0.1:8000 proto h1",
        "bind unix@/tmp/x/8404",
    ]


def test_nobody_else_may_command_it() -> None:
    [line] = [line for line in _rewritten() if line.startswith("stats socket")]
    assert line == "stats socket /tmp/x/admin.sock mode 600 level admin expose-fd listeners"


def test_answers_of_its_own_are_ours() -> None:
    lines = _rewritten()
    errors = [line.split()[:3] for line in lines if line.startswith("http-error")]
    assert errors == [["http-error", "status", status] for status in ("502", "503", "504", "408")]
    # HAProxy's own words are never read.
    silent = {line.split()[1] for line in lines if line.startswith("errorfile")}
    assert silent == {"400", "408", "413", "422", "500", "501"}
    assert all(line.endswith(" /dev/null") for line in lines if line.startswith("errorfile"))
    [nobody] = [number for number, line in enumerate(lines) if line == "backend default_backend"]
    json_refusal = 'http-request return status 503 content-type "application/json; charset=utf-8"'
    assert lines[nobody + 1].startswith(json_refusal)


def test_a_gateway_has_a_bounded_number_of_requests_and_few_may_wait() -> None:
    lines = _rewritten()
    servers = [line for line in lines if line.startswith("server ")]
    assert len(servers) == 2
    assert all(" maxconn 64 " in line for line in servers)
    [backend] = [number for number, line in enumerate(lines) if line == "backend http-polyhead"]
    queue = [line for line in lines[backend:] if "queue(http-polyhead)" in line]
    probes = "!{ path /health /ready /metrics }"
    assert [(line.split(" content-")[0], line.split(" if ")[1]) for line in queue] == [
        (
            "http-request tarpit deny_status 503",
            f"{{ queue(http-polyhead) ge 32 }} {probes} "
            "{ src,ipmask(32,64),table_conn_cur(polyhead_requests) ge 16 }",
        ),
        ("http-request return status 503", f"{{ queue(http-polyhead) ge 64 }} {probes}"),
    ]


def test_what_a_silent_gateway_has_is_sent_to_another_one() -> None:
    lines = _rewritten()
    servers = [line for line in lines if line.startswith("server ")]
    assert all(line.endswith(" fall 3 tcp-ut 10s") for line in servers)
    assert "option srvtcpka" in lines  # or nobody would ask a machine that is gone
    assert [line for line in lines if line.startswith("retr")] == [
        "retry-on conn-failure empty-response",
        "retries 8",
    ]
    assert "http-reuse safe" in lines


def test_probes_go_first_and_batch_work_last() -> None:
    lines = _rewritten()
    front = lines.index("frontend http_frontend")
    assert lines[front + 1] == "bind 127.0.0.1:8000 proto h1"
    # The last one that is true counts.
    assert [line for line in lines if "set-priority" in line] == [
        "http-request set-priority-class int(1) if { sc2_conn_cur gt 16 }",
        "http-request set-priority-class int(2) if { req.hdr(x-request-priority) batch }",
        "http-request set-priority-class int(-1) if { path /health /ready /metrics }",
    ]


def test_what_a_permitted_request_has_fits_into_a_buffer() -> None:
    assert f"tune.bufsize {2**20 + 2**16}" in _rewritten()
    lines = _rewritten(max_body_bytes=3 * 2**20)
    assert f"tune.bufsize {3 * 2**20 + 2**16}" in lines
    assert any(f" if {{ req.body_size gt {3 * 2**20} }} " in line for line in lines)


@pytest.mark.parametrize(
    ("files", "most"), [(256, 78), (1024, 462), (4096, 1998), (10**6, 16_384), (-1, 16_384)]
)
def test_connections_are_as_many_as_there_may_be_files(
    monkeypatch: pytest.MonkeyPatch, files: int, most: int
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (100, files))
    lines = _rewritten()
    assert f"maxconn {most}" in lines
    assert any(line.endswith(f"{{ sc0_conn_cur gt {most * 3 // 4} }}") for line in lines)
    assert any(line.endswith(f"{{ fe_conn gt {most * 3 // 4} }}") for line in lines)
    assert f"maxconn {min(50, most)}" in _rewritten(max_connections=50)


def test_options_travel_in_the_environment() -> None:
    options = HAProxyOptions(host="::", max_in_flight=3, stall_seconds=0.5)
    assert HAProxyOptions.from_environment(options.to_environment()) == options
    assert HAProxyOptions.from_environment({"POLYHEAD_HAPROXY_OTHER": "1"}) == HAProxyOptions()
    with pytest.raises(ValueError, match="POLYHEAD_HAPROXY_IDLE_SECONDS must be a number, but is"):
        HAProxyOptions.from_environment({"POLYHEAD_HAPROXY_IDLE_SECONDS": "soon"})


def test_all_else_stays_as_it_is() -> None:
    changed = [line for line in CONFIG.splitlines() if line.strip() not in _rewritten()]
    assert len(changed) == 21


def test_it_writes_no_log() -> None:
    assert not any(" log" in f" {line}" for line in _rewritten())


def test_whoever_leaves_is_noticed() -> None:
    # HAProxy overlooks a client that goes after a body which it has spliced.
    assert not any("splice" in line for line in _rewritten())


def test_the_program_is_for_us_alone_and_any_folder(tmp_path: Path) -> None:
    program = Path(
        serve_variables(tmp_path, HAProxyOptions(host="127.0.0.1"))["RAY_SERVE_HAPROXY_BINARY_PATH"]
    )
    assert stat.S_IMODE(program.stat().st_mode) == 0o700
    version = subprocess.run(
        [program, "-v"], cwd="/", capture_output=True, text=True, timeout=60, check=True
    )
    assert version.stdout.startswith("HAProxy version")
    assert sys.executable in program.read_text()


@pytest.mark.parametrize(
    ("was", "becomes", "rule", "expected"),
    [
        ("bind :9101", "bind :9101 v4v6", "statistics and metrics", "2 times, but matches 1 "),
        ("bind 127.0.0.1:8000", "bind /tmp/socket", "the HTTP frontend", "1 times, but matches 0 "),
        ("mode 666", "mode 660", "the admin socket", "1 times, but matches 0 "),
        (
            "balance",
            "stats socket :9000 level admin\n    balance",
            "the admin socket",
            "2 times",
        ),
        ("tune.bufsize 16384", "", "requests and answers fit", "1 times, but matches 0 "),
        ("maxconn 4096", "", "bounded connections", "1 times, but matches 0 "),
        ("retry-on conn-failure", "", "lost requests are retried", "1 times, but matches 0 "),
        ("http-reuse always", "http-reuse aggressive", "the first request", "1 times, but"),
        ("option splice-response", "", "disconnects are noticed", "2 times, but matches 1 "),
        ("local0 info", "local0", "no log target", "1 times, but matches 0 "),
        ("log global", "log global len 80", "no log in any", "2 times, but matches 0 "),
        (
            "option httplog",
            "option httpslog",
            "no log line for a request",
            "1 times, but matches 0 ",
        ),
        ("option log-health-checks", "", "no log line for a health", "1 times, but matches 0 "),
        ("errorfile 504", "errorfile 500", "errors have", "3 times, but matches 2 "),
        ("errorfile 504 ", "errorfile 500 /x\n    errorfile 504 ", "errors have", "4 times, but"),
        ("status 404", "status 410", "without an application", "1 times, but matches 0 "),
        (
            "backend http-polyhead",
            "backend http-polyhead from a",
            "a bounded queue",
            "1 times, but",
        ),
        (":30000 check", ":30000 weight 1 check", "bounded requests", "2 times, but matches 1 "),
    ],
)
def test_a_rule_that_does_not_match_as_it_must_is_an_error(
    was: str, becomes: str, rule: str, expected: str
) -> None:
    changed = CONFIG.replace(was, becomes)
    assert changed != CONFIG
    with pytest.raises(ConfigurationError, match=f"the rule '.*{rule}.* must .* {expected}"):
        _rewritten(changed)


def test_there_may_be_any_number_of_backends() -> None:
    none = CONFIG.partition("backend http-polyhead")[0]
    assert "listen stats" in _rewritten(none)
    backend = CONFIG.removeprefix(none)
    several = none + "".join(backend.replace("polyhead", name) for name in "abc")
    assert sum("{ queue(http-" in line for line in _rewritten(several)) == 6


@pytest.mark.parametrize(
    "bind", ["bind *:12345", "bind :12345 ssl", "dgram-bind *:514", "bind 127.0.0.1:9101,:9101"]
)
@pytest.mark.parametrize("host", ["", "127.0.0.1"])
def test_a_bind_that_is_not_narrowed_is_an_error(bind: str, host: str) -> None:
    with pytest.raises(ConfigurationError, match=f"has the line '{bind.replace('*', '.')}'"):
        _rewritten(f"{CONFIG}frontend more\n    {bind}\n", host=host)


def test_any_place_for_a_log_is_removed() -> None:
    lines = _rewritten(CONFIG.replace("127.0.0.1:514", "stdout format raw"))
    assert not any(" log" in f" {line}" for line in lines)


def test_the_program_ends_with_one_line_where_a_rule_does_not_match(tmp_path: Path) -> None:
    program = serve_variables(tmp_path, HAProxyOptions(host="127.0.0.1"))[
        "RAY_SERVE_HAPROXY_BINARY_PATH"
    ]
    config = tmp_path / "cfg"
    config.write_text("global\n")
    ran = subprocess.run(
        [program, "-db", "-f", str(config)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    [line] = ran.stderr.splitlines()
    assert line.startswith("polyhead-haproxy: the rule ")
    assert config.read_text() == "global\n"
