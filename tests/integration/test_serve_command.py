"""`polyhead serve` from start to end, as a user sees it."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.integration.service_process import (
    ROOT,
    START_SECONDS,
    ServiceProcess,
    free_port,
    processes,
    start_polyhead,
    wait_for,
)

Start = Callable[..., ServiceProcess]

_END_SECONDS = 60.0
"""It means to be done within ten, but a busy machine takes its time."""
_WORK_SECONDS = 180
"""For what an idle machine does in seconds."""


@pytest.fixture
def start(tiny_model: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts one that the test may end, with further options and variables."""
    with ExitStack() as ends:

        def start(*options: str, **environment: str) -> ServiceProcess:
            started = ServiceProcess(tmp_path, "--model", str(tiny_model), *options, **environment)
            ends.callback(started.close)
            return started

        yield start


@pytest.fixture
def own_service(start: Start) -> ServiceProcess:
    """One that a test may end."""
    return start()


def test_ready_then_ctrl_c(own_service: ServiceProcess, tmp_path: Path) -> None:
    service = own_service
    banner = service.wait_until_ready()
    assert service.url in banner
    assert "tiny-en-de: en to de" in banner
    assert "cpu, int8, 1 replica" in banner
    _run_printed_curl(banner)
    directories = _private_directories(service)
    assert directories
    # Ray opens its own folder, sockets included, to everybody.
    assert all(directory.parent.stat().st_mode & 0o077 == 0 for directory in directories)

    service.process.send_signal(signal.SIGINT)
    assert service.process.wait(timeout=_END_SECONDS) == 0
    assert service.pids() == []
    assert not any(directory.exists() for directory in directories)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", service.port)) != 0

    lines = [json.loads(line) for line in service.errors.read_text().splitlines()]
    answered = {"route": "/v1/translate", "status": 200}
    assert any(answered.items() <= line.items() for line in lines)
    assert "Traceback" not in service.output.read_text()


def test_sigterm_in_the_middle_of_the_start(own_service: ServiceProcess) -> None:
    service = own_service
    wait_for(lambda: service.pids("raylet"))
    service.process.send_signal(signal.SIGTERM)
    # By force, where a busy machine needs longer than it may take.
    assert service.process.wait(timeout=_END_SECONDS) in (0, 128 + signal.SIGTERM)
    wait_for(lambda: service.pids() == [])


def test_workers_that_die_at_the_start_and_a_second_signal(own_service: ServiceProcess) -> None:
    service = own_service
    wait_for(lambda: service.pids("ray::"))
    for pid in service.pids("ray::"):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    directories = _private_directories(service)
    for _ in range(2):
        service.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            service.process.wait(timeout=0.2)
    assert service.process.wait(timeout=_END_SECONDS) in (0, 128 + signal.SIGTERM)
    # What is left is ended by the reaper.
    wait_for(lambda: service.pids() == [])
    wait_for(lambda: not any(directory.exists() for directory in directories))


def test_haproxy_or_its_manager_dies_and_the_port_is_served(own_service: ServiceProcess) -> None:
    service = own_service
    service.wait_until_ready()
    assert [pid for pid in service.pids("ray::") if _dumps_core(pid)] == []
    for title in ("bin/haproxy", "ray::HAProxyManager"):
        managers = set(service.pids("ray::HAProxyManager"))
        service.kill_one(title)
        wait_for(lambda: _answers(service))
        # With the second one HAProxy stays, and with the first one Serve has yet to notice.
        assert set(service.pids("ray::HAProxyManager")) <= managers
        wait_for(lambda old=managers: set(service.pids("ray::HAProxyManager")) - old)  # type: ignore[misc]
        wait_for(lambda: len(service.pids("bin/haproxy")) == 1)
        wait_for(lambda: _answers(service))


def test_without_a_compiler_it_says_so_once_and_a_ray_that_dies_takes_it_along(
    start: Start, tmp_path: Path
) -> None:
    service = start(**_nothing_compiled(tmp_path))
    banner = service.wait_until_ready()
    assert "cpu, float32, 1 replica" in banner
    assert service.translate("The red house.").status_code == 200
    said = service.output.read_text() + service.errors.read_text()
    assert said.count("plain PyTorch") == 1
    assert "no C++ compiler was found" in banner

    service.kill_one("raylet/raylet")
    assert service.process.wait(timeout=_END_SECONDS) == 1
    assert service.pids() == []
    assert "polyhead: Ray has died, and with it the service" in service.errors.read_text()


def test_at_the_end_what_was_let_in_is_answered_and_the_rest_is_told_to_wait(
    start: Start,
) -> None:
    # Time enough for this test; who has nothing in work does not wait.
    patience = {
        "POLYHEAD_GRACEFUL_SHUTDOWN_SECONDS": str(_WORK_SECONDS),
        "POLYHEAD_LIMITS__REQUEST_TIMEOUT_SECONDS": str(_WORK_SECONDS),
    }
    service = start("--dtype", "float32", **patience)
    wait_for(lambda: _status(service, "/v1/models") is not None, START_SECONDS)
    # Before there is a gateway, too, it is a matter of time, and not of the path.
    wait_for(lambda: _status(service, "/v1/models") != 503, START_SECONDS)
    assert _status(service, "/v1/models") == 200
    assert "cpu, float32, 1 replica" in service.wait_until_ready()
    with closing(
        http.client.HTTPConnection("127.0.0.1", service.port, timeout=_WORK_SECONDS)
    ) as slow:
        # Seconds of work on an idle machine.
        body = {
            "texts": ["The old train is late. " * 30] * 20,
            "source": "en",
            "target": "de",
            "generation": {"beam_size": 8, "max_new_tokens": 60},
        }
        headers = {"Content-Type": "application/json"}
        slow.request("POST", "/v1/translate", json.dumps(body), headers)
        wait_for(lambda: _in_flight(service) > 0)

        service.process.send_signal(signal.SIGTERM)
        wait_for(lambda: _status(service, "/ready") == 503)
        refused = service.translate("The red house.")
        answer = slow.getresponse()
        assert answer.status == 200
        assert len(json.load(answer)["translations"]) == 20
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.json()["error"]["type"] == "unavailable"
    assert service.process.wait(timeout=_END_SECONDS) == 0
    assert service.pids() == []


@pytest.mark.parametrize("problem", ["taken", "damaged", "missing"])
def test_what_is_wrong_is_one_line_before_anything_starts(
    problem: str, tiny_model: Path, tmp_path: Path
) -> None:
    model = tiny_model
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        expected = f"port {port}: Address already in use"
        if problem != "taken":
            taken.close()
        if problem == "damaged":
            model = _damaged_copy(tiny_model, tmp_path / "damaged")
            expected = "the model in"
        if problem == "missing":
            model = tmp_path / "missing"
            expected = "must be a directory"
        process = start_polyhead(
            "serve", "--port", str(port), "--model", str(model),
            output=subprocess.PIPE, errors=subprocess.PIPE, folder=tmp_path,
        )  # fmt: skip
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output == b""
    [line] = errors.decode().splitlines()
    assert line.startswith("polyhead: ")
    assert expected in line


def test_a_replica_that_cannot_start_says_why(tiny_model: Path, tmp_path: Path) -> None:
    arguments = ("--port", str(free_port()), "--model", str(tiny_model), "--device", "abacus")
    process = start_polyhead(
        "serve", *arguments, output=subprocess.PIPE, errors=subprocess.PIPE, folder=tmp_path,
        environment={"POLYHEAD_STORE_URL": "", "XDG_DATA_HOME": str(tmp_path)},
    )  # fmt: skip
    output, errors = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 1
    assert output == b""
    [line] = errors.decode().splitlines()
    assert line.startswith("polyhead: the service did not start: `device` must be")
    assert processes("", session=process.pid) == []


def test_a_front_that_would_listen_elsewhere_is_one_line(tiny_model: Path, tmp_path: Path) -> None:
    # Written into Serve's configuration as it is.
    variable = {"RAY_SERVE_HAPROXY_BALANCE_ALGORITHM": "leastconn\nfrontend more\n    bind *:12345"}
    process = start_polyhead(
        "serve", "--port", str(free_port()), "--model", str(tiny_model), environment=variable,
        output=subprocess.PIPE, errors=subprocess.PIPE, folder=tmp_path,
    )  # fmt: skip
    output, errors = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 1
    assert output == b""
    [line] = errors.decode().splitlines()
    assert line.startswith("polyhead: HAProxy cannot be started: ")
    assert line.endswith("has the line 'bind *:12345'")
    assert processes("", session=process.pid) == []


def _nothing_compiled(folder: Path) -> dict[str, str]:
    """Variables for a copy of the code on a machine that has neither a library nor a compiler."""
    code = folder / "code"
    for package in ("model", "service"):
        shutil.copytree(
            ROOT / package, code / package, ignore=shutil.ignore_patterns("build", "pretrained")
        )
    nothing = folder / "nothing"
    nothing.mkdir()
    return {"PYTHONPATH": str(code), "PATH": str(nothing), "HOME": str(nothing)}


def _status(service: ServiceProcess, path: str) -> int | None:
    """The status of the answer; None when there is none."""
    with suppress(httpx.TransportError):
        url = f"{service.url}{path}"
        return httpx.get(url, timeout=30, trust_env=False, verify=False).status_code
    return None


def _damaged_copy(model: Path, copy: Path) -> Path:
    copy.mkdir()
    for file in model.iterdir():
        content = bytearray(file.read_bytes())
        if file.suffix == ".safetensors":
            content[-1] ^= 1
        (copy / file.name).write_bytes(content)
    return copy


def _answers(service: ServiceProcess) -> bool:
    with suppress(httpx.TransportError):
        return service.translate("The red house.").status_code == 200
    return False


def _dumps_core(pid: int) -> bool:
    return Path(f"/proc/{pid}/limits").read_text().count("Max core file size        1 ") != 1


def _run_printed_curl(banner: str) -> None:
    """The line that a user is told to try, without needing curl here."""
    [line] = [line.strip() for line in banner.splitlines() if line.strip().startswith("curl ")]
    command, url, header, content_type, data, body = shlex.split(line)
    assert (command, header, data) == ("curl", "-H", "-d")
    name, value = content_type.split(": ")
    response = httpx.post(
        url, headers={name: value}, content=body, timeout=60, trust_env=False, verify=False
    )
    assert response.status_code == 200
    assert response.json()["translations"][0]["text"]


def _private_directories(service: ServiceProcess) -> list[Path]:
    """Where its processes keep their files."""
    found = set()
    for pid in service.pids("--session-dir="):
        for argument in psutil.Process(pid).cmdline():
            if argument.startswith("--session-dir="):
                found.add(Path(argument.partition("=")[2]).parent)
    return sorted(found)


def _in_flight(service: ServiceProcess) -> float:
    samples = service.samples()
    return sum(
        value
        for (name, labels), value in samples.items()
        if name == "polyhead_http_requests_in_flight" and ("route", "/v1/translate") in labels
    )
