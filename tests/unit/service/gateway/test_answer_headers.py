"""Headers of answers: which pages of other origins may read them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from service.settings import Settings
from tests.fakes import Gateway

HELLO = {"text": "a", "source": "en", "target": "de"}
APP = "https://app.example"


@pytest.mark.parametrize(
    ("origins", "path", "origin", "allowed"),
    [
        (None, "/translate", APP, "*"),
        (None, "/translate", None, "*"),
        (None, "/v1/translate", APP, None),
        (None, "/v2/translate", APP, None),
        (None, "/v1/models", APP, None),
        (None, "/nothing", APP, None),
        (["*"], "/v1/translate", APP, "*"),
        (["*"], "/v2/usage", APP, "*"),
        (["*"], "/v1/models", APP, None),
        ([APP], "/translate", APP, APP),
        ([APP], "/translate", "https://app.example.net", None),
        ([APP], "/v1/translate", APP, APP),
        ([APP], "/v1/translate", None, None),
        ([], "/translate", APP, None),
    ],
)
async def test_origins(
    origins: list[str] | None, path: str, origin: str | None, allowed: str | None
) -> None:
    headers = {} if origin is None else {"Origin": origin}
    preflight = {**headers, "Access-Control-Request-Method": "POST"}
    async with Gateway(cors_origins=origins).client() as client:
        answer = await client.post(path, json=HELLO, headers=headers)
        asked = await client.options(path, headers=preflight)
    assert answer.headers.get("access-control-allow-origin") == allowed
    assert asked.headers.get("access-control-allow-origin") == allowed
    if origins == [APP] and path != "/v1/models":
        assert "Origin" in answer.headers["vary"]
    assert "access-control-allow-credentials" not in answer.headers


async def test_headers_that_a_page_asks_for_are_repeated_only_if_they_are_names() -> None:
    async with Gateway().client() as client:
        for wanted, allowed in (("x-a, content-type", "x-a, content-type"), ("a" * 2000, None)):
            headers = {
                "Origin": APP,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": wanted,
            }
            answer = await client.options("/translate", headers=headers)
            assert answer.headers.get("access-control-allow-headers") == allowed


async def test_a_page_keeps_its_own_policy() -> None:
    async with Gateway().client() as client:
        page = await client.get("/docs")
        file = await client.get("/docs/files/swagger-ui.css")
    assert page.headers.get_list("content-security-policy")[0].count("script-src") == 1
    assert len(page.headers.get_list("content-security-policy")) == 1
    assert "no-store" not in file.headers.get("cache-control", "")


def test_origins_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().cors_origins is None
    monkeypatch.setenv("POLYHEAD_CORS_ORIGINS", f"{APP}/, http://localhost:3000")
    assert Settings().cors_origins == [APP, "http://localhost:3000"]
    monkeypatch.setenv("POLYHEAD_CORS_ORIGINS", "")
    assert Settings().cors_origins == []


@pytest.mark.parametrize(
    "origin", ["app.example", "https://a/b", "https://a b", "null", "https://"]
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError, match="cors_origins"):
        Settings(cors_origins=[origin])
