"""Whatever a client sends: never a crash, never a wrong request at the model, always JSON."""

from __future__ import annotations

import asyncio
import json
from functools import cache
from typing import Any

import httpx
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.gateway.api.native_schemas import GenerationOptions
from tests.fakes import Gateway

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=20)
ANY_NUMBER = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 1e308])
ANY_JSON = st.recursive(
    st.none() | st.booleans() | ANY_NUMBER | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
CODES = st.sampled_from(["en", "de", "EN", "auto", "", "xx"]) | ANY_TEXT
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        name: ANY_NUMBER | st.integers(-1, 9) | st.floats(-1, 11) | ANY_JSON
        for name in GenerationOptions.model_fields
    },
)
TEXTS = st.lists(ANY_TEXT, max_size=4)
# Close to what is right, or nothing would ever come past the first check.
NATIVE = st.fixed_dictionaries(
    {"source": CODES, "target": CODES},
    optional={
        "text": ANY_TEXT,
        "texts": TEXTS | ANY_JSON,
        "generation": OPTIONS | ANY_JSON,
        "return_scores": st.booleans() | ANY_JSON,
        "return_alignments": st.booleans() | ANY_JSON,
        "glossary": st.dictionaries(ANY_TEXT, ANY_TEXT | TEXTS, max_size=3) | ANY_JSON,
        "keep": TEXTS | ANY_JSON,
        "banned_terms": TEXTS | ANY_JSON,
        "target_prefix": ANY_TEXT | ANY_JSON,
    },
)
LIBRETRANSLATE = st.fixed_dictionaries(
    {"q": ANY_TEXT | TEXTS | ANY_JSON, "source": CODES, "target": CODES},
    optional={
        "format": st.sampled_from(["text", "html"]) | ANY_JSON,
        "alternatives": st.integers(-1, 9) | ANY_JSON,
    },
)
CONTENT_TYPES = st.sampled_from(
    [
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "multipart/form-data; boundary=x; charset=unicode_escape",
        "multipart/form-data",
        "text/plain",
        "",
    ]
)
PATHS = ("/v1/translate", "/translate")
MODEL_MAY_SEE = 200


@cache
def _gateway() -> Gateway:
    """Made once: it takes longer than a request."""
    return Gateway()


def _send(method: str, path: str, **kwargs: Any) -> tuple[Gateway, httpx.Response]:
    gateway = _gateway()
    gateway.backend.calls.clear()

    async def send() -> httpx.Response:
        async with gateway.client() as client:
            return await client.request(method, path, **kwargs)

    return gateway, asyncio.run(send())


def _check(path: str, content: bytes, content_type: str = "application/json") -> None:
    gateway, answer = _send("POST", path, content=content, headers={"content-type": content_type})
    assert answer.status_code == MODEL_MAY_SEE or 400 <= answer.status_code < 500, answer.text
    assert isinstance(answer.json(), dict)
    assert answer.headers["X-Request-Id"]
    # What is found to be in the target's language needs no model.
    if "detectedLanguage" not in answer.json():
        assert bool(gateway.backend.calls) == (answer.status_code == MODEL_MAY_SEE)
    if answer.status_code != MODEL_MAY_SEE:
        error = answer.json()["error"]
        message = error["message"] if path == "/v1/translate" else error
        assert isinstance(message, str)
        assert 0 < len(message) < 1000
    for call in gateway.backend.calls:
        for text in call.texts:
            assert "\0" not in text
            text.encode()


def _encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


@given(NATIVE | ANY_JSON)
@settings(max_examples=300)
@example({"text": "a", "source": "en", "target": "de", "generation": {"length_penalty": 10**400}})
@example({"texts": ["\ud800"], "source": "en", "target": "de"})
@example({"text": "a", "source": "en", "target": "de", "\ud800": 1})
def test_no_json_breaks_the_native_api(value: Any) -> None:
    _check("/v1/translate", _encoded(value))


@given(LIBRETRANSLATE | ANY_JSON)
@settings(max_examples=300)
@example({"q": ["a"], "source": "en", "target": "de", "alternatives": 10**400})
def test_no_json_breaks_libretranslates_api(value: Any) -> None:
    _check("/translate", _encoded(value))


@given(st.sampled_from(PATHS), st.binary(max_size=200), CONTENT_TYPES)
@settings(max_examples=200)
@example("/translate", b"--x\r\n", "multipart/form-data; boundary=x")
@example("/translate", b"q=a&source=en&target=de&q=%00", "application/x-www-form-urlencoded")
def test_no_bytes_break_any_api(path: str, content: bytes, content_type: str) -> None:
    _check(path, content, content_type)


@given(ANY_TEXT.filter(bool), CODES, CODES)
def test_what_is_right_is_translated(text: str, source: str, target: str) -> None:
    body = _encoded({"text": text, "source": source, "target": target})
    headers = {"content-type": "application/json"}
    gateway, answer = _send("POST", "/v1/translate", content=body, headers=headers)
    is_text = "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)
    served = (source.casefold(), target.casefold()) == ("en", "de")
    assert (answer.status_code == 200) == (is_text and served)
    if is_text and served:
        assert gateway.backend.calls[0].texts == (text,)


@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]),
    st.sampled_from([*PATHS, "/languages", "/v1/models", "/health", "/ready", "/metrics", "/x"]),
    st.binary(max_size=20),
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=40),
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=10),
)
def test_no_method_query_or_header_breaks_any_route(
    method: str, path: str, content: bytes, query: str, header: str
) -> None:
    headers = {
        "X-Request-Id": header,
        "x-request-timeout-seconds": header,
        "content-type": query,
    }
    params = {"q": query, "source": header}
    _, answer = _send(method, path, content=content, params=params, headers=headers)
    assert answer.status_code < 500
    assert answer.headers["X-Request-Id"]
