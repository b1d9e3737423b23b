"""The real service on loopback: translations, processes, and the client that leaves."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from tests.integration.collector import Collector
from tests.integration.service_process import ServiceProcess, listening, total, wait_for
from tests.page_links import links


def test_translates_texts_in_their_order(any_service: ServiceProcess) -> None:
    texts = ["The red house.", "A quiet street. The train is late.", "", "Old bread!"]
    together = any_service.translate(*texts)
    assert together.status_code == 200
    answer = together.json()
    assert answer["model"] == "tiny-en-de"
    assert answer["usage"]["source_tokens"] > 10
    alone = [any_service.translate(text).json()["translations"][0] for text in texts]
    assert answer["translations"] == alone
    assert [one["text"] == "" for one in alone] == [False, False, True, False]


def test_a_stream_comes_in_parts_through_all_processes(any_service: ServiceProcess) -> None:
    text = "The red house is old. A quiet street. " * 40
    service = any_service
    plain = service.translate(text).json()
    body = {"text": text, "source": "en", "target": "de", "stream": True}
    joined, num_deltas, result = "", 0, None
    with service.client.stream("POST", "/v1/translate", json=body) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert "content-encoding" not in answer.headers
        for line in answer.iter_lines():
            if line.startswith('data: {"index"'):
                assert result is None
                joined += json.loads(line.removeprefix("data: "))["text"]
                num_deltas += 1
            elif line.startswith("data: "):
                result = json.loads(line.removeprefix("data: "))
    assert result is not None
    assert joined == plain["translations"][0]["text"] == result["translations"][0]["text"]
    assert num_deltas > 1


def test_the_client_of_openai_has_a_text_translated(any_service: ServiceProcess) -> None:
    service = any_service
    plain = service.translate("The red house.").json()["translations"][0]["text"]
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="none") as client:
        [name] = [model.id for model in client.models.list()]
        messages: list[Any] = [{"role": "user", "content": "The red house."}]
        whole = client.chat.completions.create(model=name, messages=messages)
        chunks = client.chat.completions.create(model=name, messages=messages, stream=True)
        joined = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert whole.choices[0].message.content == joined == plain


def test_errors_of_the_model_side_cross_the_processes(any_service: ServiceProcess) -> None:
    # Within the gateway's limits, but more sentences than an engine ever queues.
    response = any_service.translate(*["It is. " * 500] * 10)
    assert response.status_code == 422
    assert "at most 2048 sentences" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "name",
    ["X-Request-Id", "x-request-disconnect-disabled", "x-session-id", "serve_multiplexed_model_id"],
)
def test_a_header_that_cannot_be_read_does_no_harm(any_service: ServiceProcess, name: str) -> None:
    answer = httpx.get(
        f"{any_service.url}/v1/models", headers={name: b"\xff"}, trust_env=False, verify=False
    )
    assert answer.status_code == 200
    [request_id] = answer.headers.get_list("X-Request-Id")
    assert request_id.isalnum() or "-" in request_id


def test_a_timeout_that_cannot_be_read_is_refused(any_service: ServiceProcess) -> None:
    answer = httpx.post(
        f"{any_service.url}/v1/translate",
        json={"text": "Old bread.", "source": "en", "target": "de"},
        headers={"x-request-timeout-seconds": b"\xff"},
        trust_env=False,
        verify=False,
    )
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "x-request-timeout-seconds"


@pytest.mark.parametrize("seconds", ["0.000001", "0.001", "0.01"])
def test_no_time_at_all_is_said_in_our_words_whoever_notices_first(
    any_service: ServiceProcess, seconds: str
) -> None:
    answer = any_service.client.post(
        "/v1/translate",
        json={"texts": ["The train is late. " * 100] * 8, "source": "en", "target": "de"},
        headers={"x-request-timeout-seconds": seconds, "X-Request-Id": "r-1"},
    )
    said = (answer.status_code, answer.json()["error"]["type"])
    assert said in {(504, "deadline_exceeded"), (422, "too_long_for_deadline")}
    assert answer.json()["request_id"] == "r-1"
    assert answer.headers.get_list("X-Request-Id") == ["r-1"]


def test_an_id_is_echoed_once(any_service: ServiceProcess) -> None:
    for given, echoed in (("order-4711", True), ("an id", False), ("x" * 200, False)):
        answer = httpx.get(
            f"{any_service.url}/nothing",
            headers={"X-Request-Id": given},
            trust_env=False,
            verify=False,
        )
        [request_id] = answer.headers.get_list("X-Request-Id")
        assert request_id == answer.json()["request_id"]
        assert (request_id == given) == echoed


def test_a_browser_gets_the_whole_documentation_from_here(any_service: ServiceProcess) -> None:
    page = any_service.client.get("/docs")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    found = links(page.text)
    assert "docs/files/swagger-ui-bundle.js" in found
    for link in found:
        url = page.url.join(link)
        assert (url.host, url.port) == ("127.0.0.1", any_service.port)
        answer = any_service.client.get(url)
        assert answer.status_code == 200
        assert answer.num_bytes_downloaded == int(answer.headers["content-length"])


def test_nobody_holds_torch(service: ServiceProcess) -> None:
    def maps(pid: int) -> str:
        return Path(f"/proc/{pid}/maps").read_text()

    gateways = service.pids("ServeReplica:polyhead:Gateway")
    translators = service.pids(":Translator")
    assert (len(gateways), len(translators)) == (2, 2)
    assert all("polyhead-" in maps(pid) for pid in translators)  # the compiled engine
    assert not any("libtorch" in maps(pid) for pid in service.pids())


def test_listens_on_loopback_or_asks_for_the_token(service: ServiceProcess) -> None:
    elsewhere = []
    pids = [*service.pids(), service.process.pid]
    found = [place for pid in pids for place in listening(pid)]
    assert ("127.0.0.1", service.port) in found
    for address, port in found:
        # The kernel shows 127.0.0.1 on a socket of both families as ::ffff:127.0.0.1.
        ip = ipaddress.ip_address(address.removeprefix("::ffff:"))
        if not ip.is_loopback:
            elsewhere.append(port)
    # Serve's own server in each replica, and nothing else.
    assert len(elsewhere) == 4
    assert all(_refuses_without_token(port) for port in elsewhere)


def _refuses_without_token(port: int) -> bool:
    import grpc

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/ray.serve.ASGIService/HandleRequest")
        try:
            call(b"", timeout=30)
        except grpc.RpcError as error:
            return bool(error.code() == grpc.StatusCode.UNAUTHENTICATED)
        return False


@pytest.mark.parametrize("stream", [False, True])
def test_slots_are_free_when_the_client_has_gone(
    whole_service: ServiceProcess, stream: bool
) -> None:
    _test_slots_are_free(whole_service, stream)


@pytest.mark.parametrize("stream", [False, True])
def test_slots_are_free_in_a_single_process_too(
    single_service: ServiceProcess, stream: bool
) -> None:
    _test_slots_are_free(single_service, stream)


def _test_slots_are_free(service: ServiceProcess, stream: bool) -> None:
    before = service.samples()
    # Many seconds of work, if it were done to its end.
    body = json.dumps(
        {
            "texts": ["The old train is late. " * 30] * 60,
            "source": "en",
            "target": "de",
            "generation": {"beam_size": 8, "max_new_tokens": 60},
            "stream": stream,
        }
    ).encode()
    head = (
        f"POST /v1/translate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(head.encode() + body)
        if stream:
            client.settimeout(60)
            assert b"text/event-stream" in client.recv(65_536)
        wait_for(lambda: total(service.samples(), "polyhead_slots_in_use") > 0)

    def is_idle() -> bool:
        samples = service.samples()
        return not any(
            total(samples, name)
            for name in (
                "polyhead_slots_in_use",
                "polyhead_num_requests_running",
                "polyhead_num_requests_waiting",
            )
        )

    wait_for(is_idle)
    # Gateway and replica hear of it one after the other, in no fixed order.
    name = "polyhead_http_requests_total"
    gone = {"route": "/v1/translate", "status": "499"}
    num_gone = total(before, name, **gone) + 1
    wait_for(lambda: total(service.samples(), name, **gone) == num_gone)
    # A call's texts are counted all together, at its end. (Others may have been on their way here.)
    name = "polyhead_request_success_total"
    assert total(service.samples(), name) < total(before, name) + 60


MARKER = "thediagnosis"


def test_nobodys_text_is_written_anywhere(
    whole_service: ServiceProcess, collector: Collector
) -> None:
    service = whole_service
    _send_texts_everywhere(service)
    [haproxy, *_] = service.pids("haproxy")
    admin = psutil.Process(haproxy).environ()["RAY_SERVE_HAPROXY_SOCKET_PATH"]
    private = Path(admin).parents[1]
    written = [service.output, service.errors, *filter(Path.is_file, private.rglob("*"))]
    assert any(path.suffix == ".log" for path in written)
    assert [path for path in written if MARKER.encode() in path.read_bytes()] == []
    for path in ("/metrics", "/metrics/haproxy"):
        assert MARKER not in service.client.get(path).text
    spans = collector.spans()
    kept = {a.key for span in spans for a in span.attributes if MARKER in str(a)}
    assert kept == set()
    assert not any(MARKER in str(span) for span in spans)


def test_nor_by_a_single_process(single_service: ServiceProcess) -> None:
    _send_texts_everywhere(single_service)
    for written in (single_service.output, single_service.errors):
        assert MARKER.encode() not in written.read_bytes()
    assert MARKER not in single_service.client.get("/metrics").text


def _send_texts_everywhere(service: ServiceProcess) -> None:
    """Sends texts in all places; none of them may reach the machine's log."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as syslog:
        with contextlib.suppress(OSError):  # taken, or not permitted
            syslog.bind(("127.0.0.1", 514))
        syslog.setblocking(False)
        statuses = {answer.status_code for answer in _texts_everywhere(service.url)}
        assert statuses >= {200, 400, 404, 405, 422, 431}
        # What is malformed is told nothing of itself.
        with socket.create_connection(("127.0.0.1", service.port), timeout=60) as client:
            client.sendall(f"POST /{MARKER}\xff HTTP/1.1\r\nHost: {MARKER}\r\n\r\n".encode())
            assert MARKER.encode() not in client.recv(10_000)
        with pytest.raises(BlockingIOError):
            syslog.recv(65_536)


def _texts_everywhere(url: str) -> Iterator[httpx.Response]:
    """Answers to requests that have a text in every place which one can be in."""
    json_type = {"content-type": "application/json"}
    form_type = {"content-type": "multipart/form-data; boundary=b"}
    part = f'--b\r\nContent-Disposition: form-data; name="q"\r\n\r\n{MARKER}\r\n--b--\r\n'
    bodies: list[dict[str, Any]] = [
        {"json": {"text": MARKER, "source": "en", "target": "de"}},
        {"json": {"texts": [MARKER, 5], MARKER: MARKER, "source": MARKER, "target": [MARKER]}},
        {"json": {"q": MARKER, "source": "en", "target": MARKER, "format": MARKER}},
        {"json": {"q": MARKER, "source": "en", "target": "de"}},
        {"data": {"q": MARKER, "source": "en", "target": "de"}},
        {"content": part, "headers": form_type},
        {"content": f"--b\r\n{MARKER}\r\n\r\n--b--\r\n", "headers": form_type},
        {"content": f'{{"text": "{MARKER}', "headers": json_type},
        {"content": MARKER.encode() + b"\xff", "headers": json_type},
        {"content": MARKER * 80_000, "headers": json_type},
        {"content": MARKER, "headers": {"content-type": MARKER, "x-request-id": f"{MARKER}!"}},
        {"json": {}, "headers": {"x-request-priority": MARKER}},
        {"json": {}, "headers": {"x-request-timeout-seconds": MARKER, "cookie": MARKER}},
        {"json": {}, "headers": {"x-long": MARKER * 5000}},
    ]
    paths = ("/v1/translate", "/translate", "/languages", "/v1/models", "/health", f"/{MARKER}")
    client: dict[str, Any] = {"timeout": 60, "trust_env": False, "verify": False}
    for path in paths:
        for body in bodies:
            for query in ("", f"?q={MARKER}&source=en&target=de"):
                yield httpx.post(f"{url}{path}{query}", **client, **body)
        for method in ("GET", "DELETE", "TRACE", "OPTIONS", MARKER.upper()):
            yield httpx.request(method, f"{url}{path}?q={MARKER}", **client)
