"""`polyhead serve --single-process` from start to end, where neither Ray nor PyTorch can be had."""

from __future__ import annotations

import ctypes
import http.client
import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import psutil
import pytest

from tests.integration.clients import ask, busy
from tests.integration.service_process import (
    ServiceProcess,
    listening,
    processes,
    replicas,
    start_polyhead,
    total,
    wait_for,
)
from tests.without_packages import REFUSING

Start = Callable[..., ServiceProcess]

_END_SECONDS = 60.0
"""It means to be done within three, but a busy machine takes its time."""
_COMMAND_SECONDS = 240
LONG = {
    "texts": [" ".join(f"Train {30 * i + j} is late again." for j in range(30)) for i in range(20)],
    "source": "en",
    "target": "de",
    "generation": {"beam_size": 8, "max_new_tokens": 60},
}
"""Seconds of work on an idle machine."""


@pytest.fixture
def start(tiny_model: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts one that the test may end."""
    with ExitStack() as ends:

        def start(*options: str, **environment: str) -> ServiceProcess:
            started = ServiceProcess(
                tmp_path, "--single-process", "--model", str(tiny_model), *options,
                prelude=REFUSING, XDG_RUNTIME_DIR=str(tmp_path), **environment,
            )  # fmt: skip
            ends.callback(started.close)
            return started

        yield start


def test_is_one_process_that_listens_in_one_place(single_service: ServiceProcess) -> None:
    banner = single_service.output.read_text()
    assert single_service.url in banner
    assert "cpu, int8, in this process" in banner
    assert single_service.translate("The red house.").status_code == 200
    process = psutil.Process(single_service.process.pid)
    assert process.children(recursive=True) == []
    assert listening(process.pid) == [("127.0.0.1", single_service.port)]
    loaded = {Path(each.path).name for each in process.memory_maps()}
    assert not any(name.startswith(("libtorch", "_raylet")) for name in loaded)
    # Whatever it has logged so far is in our form, also of what libraries find in users' bodies.
    malformed = single_service.client.post(
        "/translate",
        content="--b\r\nthe diagnosis\r\n\r\n--b--\r\n",
        headers={"content-type": "multipart/form-data; boundary=b"},
    )
    assert malformed.status_code == 400
    for line in single_service.errors.read_text().splitlines():
        assert json.loads(line)["level"] in ("info", "warning")


def test_one_scrape_has_both_halves(single_service: ServiceProcess) -> None:
    before = single_service.samples()
    for _ in range(3):
        answer = single_service.translate("The red house. A quiet street.", "Old bread!")
        assert answer.status_code == 200
    samples = single_service.samples()
    assert (replicas(samples, "gateway"), replicas(samples, "translator")) == (
        {"Gateway"}, {"TranslatorPool"},
    )  # fmt: skip
    for name, count in (("sentences_total", 9), ("request_success_total", 6)):
        name = f"polyhead_{name}"
        assert total(samples, name) - total(before, name) == count
    ok = {"route": "/v1/translate", "status": "200", "source": "en", "target": "de"}
    name = "polyhead_http_requests_total"
    assert total(samples, name, **ok) - total(before, name, **ok) == 3


def test_a_client_may_ask_the_way_it_asks_a_gateway_on_ray(single_service: ServiceProcess) -> None:
    ready = single_service.client.get("/ready")
    assert ready.json() == {"status": "ready", "models": [{"name": "tiny-en-de", "ready": True}]}
    with socket.create_connection(("127.0.0.1", single_service.port), timeout=60) as client:
        client.sendall(b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * 17_000))
        assert client.recv(2**16).startswith(b"HTTP/1.1 414 ")
    page = httpx.get(f"{single_service.url}/metrics/haproxy", trust_env=False, verify=False)
    assert page.status_code == 404


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_was_let_in_is_answered_and_the_rest_is_told_to_wait(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    service = start(POLYHEAD_GRACEFUL_SHUTDOWN_SECONDS="180")
    service.wait_until_ready()
    token = tmp_path / "polyhead" / f"admin-token-{service.port}"
    assert token.exists()
    with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=180)) as slow:
        slow.request(
            "POST", "/v1/translate", json.dumps(LONG), {"Content-Type": "application/json"}
        )
        name = "polyhead_http_requests_in_flight"
        wait_for(lambda: total(service.samples(), name, route="/v1/translate") > 0)
        service.process.send_signal(number)
        wait_for(lambda: service.client.get("/ready").status_code == 503)
        refused = service.translate("The red house.")
        assert (refused.status_code, refused.json()["error"]["type"]) == (503, "unavailable")
        assert int(refused.headers["Retry-After"]) > 0
        answer = slow.getresponse()
        assert answer.status == 200
        assert len(json.load(answer)["translations"]) == 20
    assert service.process.wait(timeout=_END_SECONDS) == 0
    assert not token.exists()
    lines = [json.loads(line) for line in service.errors.read_text().splitlines()]
    answered = {"route": "/v1/translate", "status": 200, "texts": 20}
    assert any(answered.items() <= line.items() for line in lines)
    assert "Traceback" not in service.output.read_text()


def test_a_second_signal_ends_it_at_once(start: Start) -> None:
    service = start(POLYHEAD_GRACEFUL_SHUTDOWN_SECONDS="600")
    service.wait_until_ready()
    with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=180)) as slow:
        slow.request(
            "POST", "/v1/translate", json.dumps(LONG), {"Content-Type": "application/json"}
        )
        name = "polyhead_http_requests_in_flight"
        wait_for(lambda: total(service.samples(), name, route="/v1/translate") > 0)
        service.process.send_signal(signal.SIGTERM)
        wait_for(lambda: service.client.get("/ready").status_code == 503)
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(timeout=_END_SECONDS) == 128 + signal.SIGTERM


def test_a_signal_that_does_not_reach_the_main_thread(start: Start) -> None:
    """Which then sleeps on; so it does where a signal comes just before it falls asleep."""
    service = start()
    service.wait_until_ready()
    process = psutil.Process(service.process.pid)
    other = next(each.id for each in process.threads() if each.id != process.pid)
    assert ctypes.CDLL(None).tgkill(process.pid, other, signal.SIGTERM) == 0
    assert service.process.wait(timeout=_END_SECONDS) == 0


def test_a_signal_in_the_middle_of_the_start(start: Start) -> None:
    service = start()
    service.process.send_signal(signal.SIGTERM)
    # Python itself ends it where it has not come so far yet.
    assert service.process.wait(timeout=_END_SECONDS) in (0, 128 + signal.SIGTERM, -signal.SIGTERM)


def test_models_come_change_and_go(start: Start, tiny_model: Path, tmp_path: Path) -> None:
    service = start()
    service.wait_until_ready()
    news = tmp_path / "news"
    shutil.copytree(tiny_model, news)

    def command(*arguments: str) -> tuple[int, str]:
        process = start_polyhead(
            "models", *arguments, "--url", service.url, prelude=REFUSING,
            output=subprocess.PIPE, errors=subprocess.STDOUT, folder=tmp_path,
            environment={"XDG_RUNTIME_DIR": str(tmp_path)},
        )  # fmt: skip
        output, _ = process.communicate(timeout=_COMMAND_SECONDS)
        return process.returncode, output.decode()

    with busy(service.url, None, "tiny-en-de"):
        assert command("add", str(news)) == (0, "news is served\n")
        assert ask(service.url, "news").json()["model"] == "news"
    with busy(service.url, None, "news"):
        assert command("reload", "news") == (0, "news is loaded anew\n")
        (news / "tokenizer.model").write_bytes(b"damaged")
        status, said = command("reload", "news")
        assert (status, "tokenizer.model must have SHA-256" in said) == (1, True)
    with busy(service.url, None):
        assert command("remove", "news") == (0, "news is not served any more\n")
    answer = ask(service.url, "news")
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "model")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--replicas", "2"], "`replicas` must be 1 in a single process, but is 2"),
        (["--device", "cuda"], "`--device` must be auto or cpu in a single process"),
        (["--model", "missing"], "must be a directory"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: list[str], problem: str, tmp_path: Path) -> None:
    process = start_polyhead(
        "serve", "--single-process", *arguments, prelude=REFUSING,
        output=subprocess.PIPE, errors=subprocess.PIPE, folder=tmp_path,
    )  # fmt: skip
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (1, b"")
    [line] = errors.decode().splitlines()
    assert line.startswith("polyhead: ")
    assert problem in line
    assert processes("", session=process.pid) == []


def test_listens_to_both_families(start: Start) -> None:
    service = start("--host", "::")
    assert f"http://[::1]:{service.port}" in service.wait_until_ready()
    for url in (f"http://[::1]:{service.port}", service.url):
        assert (
            httpx.get(f"{url}/health", timeout=60, trust_env=False, verify=False).status_code == 200
        )


def test_a_document_goes_on_after_a_restart(start: Start, tmp_path: Path) -> None:
    data = tmp_path / "data"
    service = start(XDG_DATA_HOME=str(data), POLYHEAD_STORE_URL="")
    service.wait_until_ready()
    assert not data.exists()  # nobody has stored anything
    texts = [f"{number} old trains are late." for number in range(400)]
    # Larger than a body that is no file may be, eight times over.
    files = {"file": ("trains.json", json.dumps(texts).encode() + b" " * 9 * 2**20)}
    pair = {"source": "en", "target": "de"}
    answer = service.client.post("/v1/documents", files=files, data=pair)
    assert answer.status_code == 202, answer.text + service.errors.read_text()
    path = answer.headers["location"]
    wait_for(lambda: service.client.get(path).json()["progress"] > 0)
    service.close()
    again = start(XDG_DATA_HOME=str(data), POLYHEAD_STORE_URL="")
    again.wait_until_ready()
    assert again.client.get(path).json()["progress"] > 0
    wait_for(lambda: again.client.get(path).json()["state"] in ("done", "failed"), 180)
    result = again.client.get(f"{path}/result")
    assert result.status_code == 200, result.text
    assert len(result.json()) == len(texts)
