"""HAProxy itself takes what Serve writes and we put right."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.errors import ModelUnavailableError, failure_of
from service.gateway.api.error_answers import error_answer
from service.gateway.request_context import RequestContext, is_safe_id
from service.launcher.haproxy import HAProxyOptions, serve_variables
from service.launcher.ports import free_port
from tests.unit.service.launcher.haproxy_process import running_haproxy, written_by_serve


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1", "localhost"])
def test_haproxy_takes_the_configuration(tmp_path: Path, host: str) -> None:
    config = written_by_serve(tmp_path)
    before = config.read_text()
    assert "bind *:8404" in before
    assert "bind :9101" in before
    assert " mode 666 " in before
    variables = serve_variables(tmp_path, HAProxyOptions(host=host, admin_host=""))
    checked = subprocess.run(
        [variables["RAY_SERVE_HAPROXY_BINARY_PATH"], "-c", "-f", str(config)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    binds = [line.split()[1] for line in config.read_text().splitlines() if "  bind " in line]
    assert sorted(binds) == sorted(
        [f"{host}:18000", f"unix@{tmp_path / '9101'}", f"unix@{tmp_path / '8404'}"]
    )
    # Nothing else is what it was where Serve would have answered in words of its own.
    assert "status 404 content-type text" not in config.read_text()
    assert " mode 666 " not in config.read_text()
    assert "errorfile 503" not in config.read_text()


@contextlib.contextmanager
def _without_gateway(folder: Path, *, log_target: str = "127.0.0.1:514") -> Iterator[str]:
    """The URL of a HAProxy whose only gateway does not exist."""
    with socket.socket() as taken:
        # Bound and not listening, so that nobody else answers there.
        taken.bind(("127.0.0.1", 0))
        port = free_port()
        config = written_by_serve(
            folder, port=port, gateway_port=taken.getsockname()[1], log_target=log_target
        )
        with running_haproxy(config, port, HAProxyOptions(host="127.0.0.1", admin_host="")) as url:
            yield url


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a HAProxy listens whose only gateway does not exist."""
    with _without_gateway(tmp_path_factory.mktemp("haproxy")) as url:
        yield url


def test_nothing_of_a_request_is_logged(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as log:
        log.bind(("127.0.0.1", 0))
        log.setblocking(False)
        with _without_gateway(tmp_path, log_target=f"127.0.0.1:{log.getsockname()[1]}") as url:
            answer = httpx.post(
                f"{url}/translate?q=the-diagnosis", timeout=60, trust_env=False, verify=False
            )
            assert answer.status_code == 503
        with pytest.raises(BlockingIOError):
            log.recv(65_536)
    assert "the-diagnosis" not in (tmp_path / "output").read_text()


_CHECK = """
import os, sys
from pathlib import Path
from service.launcher.haproxy import HAProxyOptions, check_haproxy, serve_variables

directory = Path(sys.argv[1])
os.environ.update(serve_variables(directory, HAProxyOptions(host="127.0.0.1", admin_host="")))
check_haproxy(directory)
"""


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("BALANCE_ALGORITHM", "leastconn", None),
        ("BALANCE_ALGORITHM", "by-chance", "HAProxy cannot be started: [ALERT]"),
        ("HEALTH_CHECK_INTER", "1s\n    server other 127.0.0.1:1 disabled #", "bounded requests"),
    ],
)
def test_what_serve_will_start_is_tried_with_a_gateway(
    tmp_path: Path, name: str, value: str, problem: str | None
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _CHECK, str(tmp_path)],
        cwd=Path(__file__).parents[3],
        env={**os.environ, f"RAY_SERVE_HAPROXY_{name}": value},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if problem is None:
        assert ran.returncode == 0, ran.stderr
    else:
        assert "ConfigurationError: HAProxy cannot be started: " in ran.stderr
        assert problem in ran.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "path", ["/v1/translate", "/translate", "/detect", "/v2/translate", "/ready", "/none"]
)
@pytest.mark.parametrize("given", ["my-id.1", None, "two words", "a,b", "x" * 129])
def test_a_refusal_is_what_the_gateway_would_say(alone: str, path: str, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-Id": given}
    answer = httpx.post(
        f"{alone}{path}", headers=headers, timeout=60, trust_env=False, verify=False
    )
    request_id = answer.headers["X-Request-Id"]
    if given is not None and is_safe_id(given):
        assert request_id == given
    else:
        assert request_id != given
        assert is_safe_id(request_id)
    message = "the service has too much to do, or is starting or stopping; try again later"
    failure = dataclasses.replace(failure_of(ModelUnavailableError()), message=message)
    ours = error_answer(failure, RequestContext(request_id=request_id, route=path))
    assert (answer.status_code, answer.json()) == (ours.status_code, json.loads(bytes(ours.body)))
    assert answer.headers["Content-Type"] == f"{ours.headers['Content-Type']}; charset=utf-8"
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "X-Refused" not in answer.headers


def test_every_refusal_has_an_id_of_its_own(alone: str) -> None:
    answers = [
        httpx.get(f"{alone}/v1/models", timeout=60, trust_env=False, verify=False) for _ in range(3)
    ]
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == 3
