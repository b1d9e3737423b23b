"""What clients send over the wire: to a gateway, through HAProxy, and to a single process's server.

One table for all of them.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
import uvicorn
from starlette.responses import Response

from service.gateway.front import FrontMiddleware
from service.launcher.haproxy import HAProxyOptions
from service.launcher.ports import free_port
from tests.fakes import FakeBackend, Gateway
from tests.integration.service_process import wait_for
from tests.unit.service.launcher.bounded_server import limits, serving
from tests.unit.service.launcher.haproxy_process import running_haproxy, written_by_serve

MAX_BODY = 64 * 1024
SENTENCE = "Die Tür ist grün."
BODY = json.dumps({"q": SENTENCE, "source": "de", "target": "en"}).encode()
NATIVE = json.dumps({"text": SENTENCE, "source": "de", "target": "en"}).encode()
MIXED = {"q": ["The shop opens at nine.", "", "  ", SENTENCE], "source": "auto", "target": "de-AT"}
REGIONS = {"api_key": "", "q": ["Save", "", "  ", "Save"], "source": "en-US", "target": "de-AT"}
JSON = "Content-Type: application/json"
FORM = "Content-Type: application/x-www-form-urlencoded"
PAGE = "Origin: https://widget.example"


def _request(
    line: str, *headers: str, body: bytes = b"", version: str = "1.1", length: int | None = None
) -> bytes:
    size = len(body) if length is None else length
    head = [f"{line} HTTP/{version}", "Host: a", *headers, "Connection: close"]
    if size or line.startswith("POST"):
        head.append(f"Content-Length: {size}")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


class Case(NamedTuple):
    """A request, and what its answer must have."""

    sent: bytes
    status: int
    headers: tuple[str, ...] = ()
    """Regular expressions of lines of the head."""
    body: tuple[str, ...] = ()
    """Regular expressions."""
    without: tuple[str, ...] = ()
    """What neither head nor body has."""


OPEN = r"access-control-allow-origin: \*"
LONG = json.dumps({"q": "a" * 4000, "source": "de", "target": "en"}).encode()
CASES = {
    "a page asks whether it may": Case(
        _request(
            "OPTIONS /translate",
            PAGE,
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: content-type",
        ),
        200,
        (
            OPEN,
            "access-control-allow-methods: POST",
            "access-control-allow-headers: content-type",
            "allow: POST, OPTIONS",
        ),
        without=("allow-credentials",),
    ),
    "a page translates": Case(
        _request("POST /translate", PAGE, JSON, body=BODY), 200, (OPEN,), ("en:Die Tür ist grün",)
    ),
    "a page errs": Case(_request("POST /translate", PAGE, JSON, body=b"{}"), 400, (OPEN,)),
    "a page asks for the native API": Case(
        _request("OPTIONS /v1/translate", PAGE, "Access-Control-Request-Method: POST"),
        200,
        ("allow: POST, OPTIONS",),
        without=("access-control",),
    ),
    "options of nothing": Case(_request("OPTIONS /nothing"), 404),
    "head of a probe": Case(
        _request("HEAD /health"), 200, ("content-length: 15", "content-type: application/json")
    ),
    "head of readiness": Case(_request("HEAD /ready"), 200, ("content-length: [1-9]",)),
    "head of metrics": Case(_request("HEAD /metrics"), 200, ("content-type: text/plain",)),
    "head of the page": Case(_request("HEAD /docs"), 200),
    "head of what has no get": Case(_request("HEAD /translate"), 405, ("allow: POST, OPTIONS",)),
    "a charset is said": Case(
        _request("POST /translate", JSON, body=BODY),
        200,
        (r"content-type: application/json; charset=utf-8\r\n",),
    ),
    "a byte order mark": Case(
        _request("POST /v1/translate", f"{JSON}; charset=utf-8", body=b"\xef\xbb\xbf" + NATIVE),
        200,
        body=("en:Die Tür",),
    ),
    "utf-16 with a mark": Case(
        _request("POST /translate", JSON, body=BODY.decode().encode("utf-16")), 200
    ),
    "another charset": Case(
        _request(
            "POST /translate",
            f"{JSON}; charset=ISO-8859-1",
            body=f'{{"q": "{SENTENCE}", "source": "de", "target": "en"}}'.encode("latin-1"),
        ),
        200,
        body=("en:Die Tür",),
    ),
    "another charset in a form": Case(
        _request("POST /translate", f"{FORM}; charset=cp1252", body=b"q=T%FCr&source=de&target=en"),
        200,
        body=("en:Tür",),
    ),
    "a charset that is none": Case(
        _request("POST /v1/translate", f"{JSON}; charset=unicode_escape", body=NATIVE),
        415,
        body=("charset must be utf-8", "unsupported_media_type"),
    ),
    "json as a form": Case(_request("POST /translate", FORM, body=BODY), 200, body=("en:Die Tür",)),
    "json as nothing": Case(_request("POST /translate", body=BODY), 200, body=("en:Die Tür",)),
    "json as text": Case(
        _request("POST /translate", "Content-Type: text/plain;charset=UTF-8", body=BODY), 200
    ),
    "json as text to the native api": Case(
        _request("POST /v1/translate", "Content-Type: text/plain", body=NATIVE),
        415,
        body=("must be application/json, but is 'text/plain'",),
    ),
    "a slash too many at the beginning": Case(
        _request("POST //translate?a=b", JSON, body=BODY),
        308,
        (r"location: \.\./translate\?a=b\r\n", OPEN),
        ('"error":"[^"]*/translate is probably meant"',),
        ("<html",),
    ),
    "a slash too many at the end": Case(
        _request("POST /v1/translate/", JSON, body=NATIVE),
        308,
        (r"location: \.\./\.\./v1/translate\r\n",),
        ('"message":"[^"]*/v1/translate is probably meant"',),
    ),
    "a base address too many": Case(
        _request("POST /translate/translate", JSON, body=BODY),
        404,
        (OPEN,),
        ('"error":"[^"]*; /translate is probably meant"',),
        ('"error":{',),
    ),
    "deepl below another path": Case(
        _request("POST /api/v2/translate", JSON, body=b"{}"),
        404,
        body=('"message":"[^"]*/v2/translate is probably meant"',),
    ),
    "regions, and texts that are empty": Case(
        _request("POST /translate", JSON, body=json.dumps(REGIONS).encode()),
        200,
        body=(r'"translatedText":\["de:Save","","  ","de:Save"\]',),
    ),
    "texts in several languages": Case(
        _request("POST /translate", JSON, body=json.dumps(MIXED).encode()),
        200,
        body=(r'\["de:The shop opens at nine.","","  ","Die Tür ist grün."\]', '"language":"de"'),
    ),
    "html whose language is not said": Case(
        _request(
            "POST /translate",
            JSON,
            body=BODY.replace(b'"de"', b'"auto"')[:-1] + b', "format": "html"}',
        ),
        200,
        body=('"translatedText":"en:', '"language":"de"'),
    ),
    "a form to detect": Case(
        _request("POST /detect", FORM, body=b"q=Wir+%C3%B6ffnen+morgen.&api_key="),
        200,
        body=(r'\[{"confidence":9\d.\d,"language":"de"}',),
    ),
    "too many alternatives": Case(
        _request("POST /translate?q=hi&source=en&target=de&alternatives=10000"),
        400,
        body=("alternatives parameter must be <= 7",),
    ),
    "http/1.0": Case(
        _request("POST /translate", JSON, body=BODY, version="1.0").replace(b"Host: a\r\n", b""),
        200,
        (r"content-length: \d+",),
        without=("transfer-encoding",),
    ),
    "metrics": Case(
        _request("GET /metrics", "X-Forwarded-For: 10.1.2.3"), 200, without=("10.1.2.3",)
    ),
    "gzip": Case(
        _request("POST /translate", JSON, "Content-Encoding: gzip", body=gzip.compress(BODY)), 200
    ),
    "gzip of much more than it is": Case(
        _request(
            "POST /translate", JSON, "Content-Encoding: gzip", body=gzip.compress(b" " * 10**7)
        ),
        413,
        body=("at most 65536 bytes when it is uncompressed",),
    ),
    "a long answer": Case(
        _request("POST /translate", JSON, "Accept-Encoding: gzip", body=LONG),
        200,
        ("content-encoding: gzip", "vary: accept-encoding"),
    ),
    "a short answer": Case(
        _request("POST /translate", JSON, "Accept-Encoding: gzip", body=BODY),
        200,
        without=("content-encoding",),
    ),
    "a body too large, announced": Case(
        _request("POST /translate", JSON, "Expect: 100-continue", length=MAX_BODY + 1),
        413,
        body=('"error":"the body must have at most 65536 bytes',),
        without=("100 continue",),
    ),
    "a body that is waited for": Case(
        _request("POST /translate", JSON, "Expect: 100-continue", body=BODY), 200
    ),
    "an id": Case(_request("GET /nothing", "X-Request-Id: id-7"), 404, ("x-request-id: id-7\r\n",)),
    "what every answer has": Case(
        _request("GET /languages"),
        200,
        (
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
            "referrer-policy: no-referrer",
            "content-security-policy: default-src 'none'",
            "cache-control: no-store",
            r"server-timing: total;dur=\d",
            r"x-request-id: \S+",
        ),
    ),
    "what a translation has": Case(
        _request("POST /v1/translate", JSON, body=NATIVE),
        200,
        (r"server-timing: total;dur=\S+, queue;dur=1.0, encode;dur=2.0, decode;dur=3.0\r\n",),
    ),
}
BY_THE_FRONT = {
    "a url too long": Case(
        _request(f"GET /translate?q={'a' * 17_000}"),
        414,
        (OPEN, "x-content-type-options: nosniff", "cache-control: no-store", "x-request-id"),
        ('"error":"the URL must have at most 16384 bytes',),
    ),
    "a url too long, in deepl's form": Case(
        _request(f"GET /v2/translate?q={'a' * 17_000}"),
        414,
        (r"content-type: application/json; charset=utf-8\r\n",),
        ('{"message":"the URL must have at most',),
        ("access-control",),
    ),
    "how long a connection is kept": Case(
        _request("GET /health").replace(b"Connection: close\r\n", b""),
        200,
        (r"keep-alive: timeout=2\r\n",),
        without=("server: ",),
    ),
}


def _gateway() -> Gateway:
    """A gateway that has German, English and Portuguese."""
    backends = FakeBackend("a", (("en", "de"),)), FakeBackend("b", (("de", "en"), ("pt", "en")))
    return Gateway(*backends, limits={"max_body_bytes": MAX_BODY})


@pytest.fixture(scope="module")
def gateway_port() -> Iterator[int]:
    """A gateway on a port of its own."""
    gateway = _gateway()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        # Serve's part of a gateway's process answers the health checks.
        is_check = scope["path"].startswith("/-/")
        await (Response() if is_check else gateway.app)(scope, receive, send)

    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            wait_for(lambda: server.started)
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def front_port(gateway_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A HAProxy in front of it."""
    port = free_port()
    written = written_by_serve(
        tmp_path_factory.mktemp("wire"), port=port, gateway_port=gateway_port
    )
    options = HAProxyOptions(
        host="127.0.0.1", admin_host="", max_body_bytes=MAX_BODY, idle_seconds=2.0
    )
    with running_haproxy(written, port, options) as url:
        wait_for(
            lambda: httpx.get(f"{url}/health", trust_env=False, verify=False).status_code == 200
        )
        yield port


@pytest.fixture(scope="module")
def single_port() -> Iterator[int]:
    """The server of a single process."""
    gateway = _gateway()
    front = FrontMiddleware(gateway.app, gateway.settings.limits, gateway.settings.connections)
    with serving(front, limits(idle_seconds=2.0, max_body_bytes=MAX_BODY)) as port:
        yield port


def _check(port: int, case: Case) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(case.sent)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while more := client.recv(2**16):
                answer += more
    for words in case.without:
        assert words not in answer.decode(errors="replace").lower()
    answer = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").lower() + "\r\n"
    assert int(lines.split()[1]) == case.status, answer
    for pattern in case.headers:
        assert re.search(f"\r\n{pattern}", lines, re.IGNORECASE), (pattern, lines)
    text = body.decode(errors="replace")
    for pattern in case.body:
        assert re.search(pattern, text), (pattern, text)
    if case.sent.startswith(b"HEAD"):
        assert not body


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_gateway_answers(gateway_port: int, case: Case) -> None:
    _check(gateway_port, case)


@pytest.mark.parametrize(
    "case", [*CASES.values(), *BY_THE_FRONT.values()], ids=CASES | BY_THE_FRONT
)
def test_haproxy_in_front_changes_nothing(front_port: int, case: Case) -> None:
    _check(front_port, case)


@pytest.mark.parametrize(
    "case", [*CASES.values(), *BY_THE_FRONT.values()], ids=CASES | BY_THE_FRONT
)
def test_the_server_of_a_single_process_answers_the_same(single_port: int, case: Case) -> None:
    _check(single_port, case)


def test_a_connection_is_kept_for_the_time_that_is_said(front_port: int) -> None:
    sent = _request("GET /health").replace(b"Connection: close\r\n", b"")
    with socket.create_connection(("127.0.0.1", front_port), timeout=60) as client:
        for _ in range(3):
            client.sendall(sent)
            answer = b""
            while not answer.endswith(b"}"):
                answer += client.recv(2**16)
            assert answer.startswith(b"HTTP/1.1 200 ")
