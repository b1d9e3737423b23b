"""Programs that people have, unchanged, in front of a gateway."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import deepl
import pytest
import uvicorn
from libretranslate_aio import AsyncLibreTranslate, ForbiddenError, LibreTranslate
from libretranslatepy import LibreTranslateAPI

from service.gateway.front import FrontMiddleware
from tests.fakes import FakeBackend, Gateway
from tests.integration.service_process import wait_for
from tests.unit.service.launcher.bounded_server import limits, serving

ENGLISH, GERMAN = "The shop opens at nine.", "Wir öffnen morgen um neun."


@pytest.fixture(scope="module", params=["gateway", "single process"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a gateway that has English and German, or of a single process with it."""
    gateway = Gateway(FakeBackend("a", (("en", "de"),)), FakeBackend("b", (("de", "en"),)))
    if request.param == "single process":
        settings = gateway.settings
        front = FrontMiddleware(gateway.app, settings.limits, settings.connections)
        with serving(front, limits()) as port:
            yield f"http://127.0.0.1:{port}"
        return
    config = uvicorn.Config(gateway.app, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            wait_for(lambda: server.started)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_libretranslatepy(url: str) -> None:
    client = LibreTranslateAPI(f"{url}/")
    assert client.translate(ENGLISH, "en", "de") == f"de:{ENGLISH}"
    assert client.translate(GERMAN, "auto", "en") == f"en:{GERMAN}"
    assert client.detect(GERMAN)[0]["language"] == "de"
    assert [one["code"] for one in client.languages()] == ["de", "en"]


def test_libretranslate_aio(url: str) -> None:
    with LibreTranslate(url, api_key="any") as client:
        assert client.health()
        one = client.translate(GERMAN, source="auto", target="en", alternatives=1)
        assert one.translated_text == f"en:{GERMAN}"
        assert one.detected_language is not None
        assert one.detected_language.language == "de"
        assert one.alternatives == [f"en:{GERMAN} (1)"]
        many = client.translate([ENGLISH, "b"], source="en-US", target="de")
        assert many.translated_text == [f"de:{ENGLISH}", "de:b"]
        assert client.detect(GERMAN)[0].confidence > 90
        settings = client.frontend_settings()
        assert (settings.char_limit, settings.key_required) == (20_000, False)
        assert settings.language.target.code == "de"
        with pytest.raises(ForbiddenError, match="Suggestions are disabled on this server"):
            client.suggest("a", "b", "en", "de")


async def test_libretranslate_aio_on_an_event_loop(url: str) -> None:
    async with AsyncLibreTranslate(url) as client:
        answer = await client.translate([ENGLISH, GERMAN], source="auto", target="de")
    assert answer.translated_text == [f"de:{ENGLISH}", GERMAN]


def test_deepl(url: str) -> None:
    with contextlib.closing(deepl.DeepLClient("any", server_url=url)) as client:
        one = client.translate_text(ENGLISH, target_lang="DE")
        assert isinstance(one, deepl.TextResult)
        assert (one.text, one.detected_source_lang) == (f"de:{ENGLISH}", "EN")
        assert one.billed_characters == len(ENGLISH)
        many = client.translate_text(
            [GERMAN, ENGLISH],
            target_lang="EN-US",
            formality="prefer_more",
            split_sentences="nonewlines",
            preserve_formatting=True,
            context="a shop",
            model_type="quality_optimized",
        )
        assert isinstance(many, list)
        assert [each.text for each in many] == [f"en:{GERMAN}", ENGLISH]
        assert many[0].model_type_used == "quality_optimized"
        assert [each.code for each in client.get_source_languages()] == ["DE", "EN"]
        assert [(each.code, each.supports_formality) for each in client.get_target_languages()] == [
            ("DE", False), ("EN-GB", False), ("EN-US", False),
        ]  # fmt: skip
        assert not client.get_usage().any_limit_reached
        for source, target, words in (
            (None, "XX", "Value for 'target_lang' not supported."),
            ("XX", "DE", "Value for 'source_lang' not supported."),
        ):
            with pytest.raises(deepl.DeepLException, match=words):
                client.translate_text("a", source_lang=source, target_lang=target)
