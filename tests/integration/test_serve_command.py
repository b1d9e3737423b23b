"""`polyhead serve` from start to end, as a user sees it."""

from __future__ import annotations

import json
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.integration.service_process import (
    START_SECONDS,
    ServiceProcess,
    free_port,
    processes,
    start_polyhead,
    wait_for,
)


@pytest.fixture
def own_service(tiny_model: Path, tmp_path: Path) -> Iterator[ServiceProcess]:
    """One that a test may end."""
    started = ServiceProcess(tmp_path, "--model", str(tiny_model))
    try:
        yield started
    finally:
        started.close()


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
    service.process.send_signal(signal.SIGINT)  # impatience is harmless
    assert service.process.wait(timeout=10) == 0
    assert service.pids() == []
    assert not any(directory.exists() for directory in directories)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", service.port)) != 0

    lines = [json.loads(line) for line in service.errors.read_text().splitlines()]
    assert any(line["route"] == "/v1/translate" and line["status"] == 200 for line in lines)
    assert "Traceback" not in service.output.read_text()


def test_sigterm_in_the_middle_of_the_start(own_service: ServiceProcess) -> None:
    service = own_service
    wait_for(lambda: service.pids("raylet"))
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(timeout=10) == 0
    assert service.pids() == []


def test_a_ray_that_dies_takes_the_service_with_it(own_service: ServiceProcess) -> None:
    service = own_service
    service.wait_until_ready()
    service.kill_one("raylet/raylet")
    assert service.process.wait(timeout=30) == 1
    assert service.pids() == []
    assert "polyhead: Ray has died, and with it the service" in service.errors.read_text()


def test_requests_in_work_are_answered_before_the_end(own_service: ServiceProcess) -> None:
    service = own_service
    service.wait_until_ready()
    with ThreadPoolExecutor() as pool:
        # Long enough to be seen in flight, and short enough to end in the time there is.
        texts = _texts_for_about_a_second(service)
        while True:
            answer = pool.submit(service.translate, *texts)
            wait_for(lambda sent=answer: sent.done() or _in_flight(service) > 0)
            if not answer.done():
                break
        service.process.send_signal(signal.SIGTERM)
        assert answer.result().status_code == 200
    assert len(answer.result().json()["translations"]) == len(texts)
    service.process.wait(timeout=10)
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
        "serve", *arguments, output=subprocess.PIPE, errors=subprocess.PIPE, folder=tmp_path
    )
    output, errors = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 1
    assert output == b""
    [line] = errors.decode().splitlines()
    assert line.startswith("polyhead: the service did not start: `device` must be")
    assert processes("", session=process.pid) == []


def _texts_for_about_a_second(service: ServiceProcess) -> list[str]:
    text = "The train is late. " * 10
    num_texts = 4
    while True:
        seconds = service.translate(*[text] * num_texts).elapsed.total_seconds()
        if seconds > 0.5 or num_texts >= 100:
            return [text] * num_texts
        num_texts = min(100, 2 * num_texts)


def _damaged_copy(model: Path, copy: Path) -> Path:
    copy.mkdir()
    for file in model.iterdir():
        content = bytearray(file.read_bytes())
        if file.suffix == ".safetensors":
            content[-1] ^= 1
        (copy / file.name).write_bytes(content)
    return copy


def _run_printed_curl(banner: str) -> None:
    """The line that a user is told to try, without needing curl here."""
    [line] = [line.strip() for line in banner.splitlines() if line.strip().startswith("curl ")]
    command, url, header, content_type, data, body = shlex.split(line)
    assert (command, header, data) == ("curl", "-H", "-d")
    name, value = content_type.split(": ")
    response = httpx.post(url, headers={name: value}, content=body, timeout=60, trust_env=False)
    assert response.status_code == 200
    assert response.json()["translations"][0]["text"]


def _private_directories(service: ServiceProcess) -> list[Path]:
    """Where its processes keep their files."""
    found = set()
    for pid in service.pids("--session-dir="):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        for argument in command.split("\0"):
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
