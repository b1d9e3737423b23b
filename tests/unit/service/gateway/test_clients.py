"""Programs that people have, unchanged, in front of a gateway."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import io
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import deepl
import pytest
import uvicorn
from deepl.api_data import MultilingualGlossaryDictionaryEntries
from libretranslate_aio import AsyncLibreTranslate, ForbiddenError, LibreTranslate, RateLimitError
from libretranslatepy import LibreTranslateAPI

from service.gateway.front import FrontMiddleware
from service.settings import Quota
from tests.fakes import FakeBackend, Gateway
from tests.integration.service_process import wait_for
from tests.stores import new_database, store_of
from tests.unit.service.launcher.bounded_server import limits, serving

ENGLISH, GERMAN = "The shop opens at nine.", "Wir öffnen morgen um neun."


@pytest.fixture(scope="module", params=["gateway", "single process"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway that has English and German, or of a single process with it."""
    gateway = _gateway(store_url=new_database(None, tmp_path_factory.mktemp("store")))
    if request.param == "single process":
        settings = gateway.settings
        front = FrontMiddleware(gateway.app, settings.limits, settings.connections)
        with serving(front, limits()) as port:
            yield f"http://127.0.0.1:{port}"
        return
    with _served(gateway) as url:
        yield url


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The address of one that needs keys and takes suggestions, and a key of 100 characters."""
    database = new_database(None, tmp_path)

    async def new_key() -> str:
        store = store_of(database, tmp_path)
        _, key = await store.keys.add("alice", quota=Quota(characters_per_month=100))
        await store.close()
        return key

    key = asyncio.run(new_key())
    settings = {"access": {"keys": "required"}, "store_url": database, "suggestions": True}
    with _served(_gateway(**settings)) as url:
        yield url, key


def _gateway(**settings: Any) -> Gateway:
    backends = FakeBackend("a", (("en", "de"),)), FakeBackend("b", (("de", "en"),))
    return Gateway(*backends, **settings)


@contextlib.contextmanager
def _served(gateway: Gateway) -> Iterator[str]:
    config = uvicorn.Config(gateway.app, log_config=None, access_log=False, lifespan="on")
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


def test_the_command_line_of_deepl(url: str) -> None:
    """`python -m deepl`, as people call it."""
    environment = {**os.environ, "DEEPL_SERVER_URL": url, "DEEPL_AUTH_KEY": "any"}

    def said(*arguments: str, status: int = 0, given: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-m", "deepl", *arguments], env=environment, input=given,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == status, done
        return done.stdout + done.stderr

    text = said("text", "--to", "DE", "--show-detected-source", ENGLISH)
    assert text == f"Detected source language: EN\nde:{ENGLISH}\n"
    options = ("--formality", "prefer_more", "--tag-handling", "xml", "--ignore-tags", "a,b")
    options += ("--splitting-tags", "c,d", "--non-splitting-tags", "e", "--outline-detection-off")
    assert said("text", "--to", "EN-US", *options, "-", given=GERMAN) == f"en:{GERMAN}\n"
    problem = said("text", "--to", "XX", ENGLISH, status=1)
    assert "Value for 'target_lang' not supported." in problem
    languages = said("languages")
    assert "DE: German" in languages
    assert "EN-US: English (United States)" in languages
    assert "de, en" in said("languages", "--glossary")
    assert "Characters: 0 of 1000000000000" in said("usage")
    made = said("glossary", "create", "--name", "n", "--from", "EN", "--to", "DE", "cat=Katze")
    id = made.partition("(")[2].partition(")")[0]
    assert id in said("glossary", "list")
    assert "EN" in said("glossary", "get", id)
    assert said("glossary", "entries", id) == "cat\tKatze\n"
    assert said("text", "--from", "EN", "--to", "DE", "--glossary-id", id, "a") == "de:a\n"
    assert "successfully deleted" in said("glossary", "delete", id)
    assert "Glossary not found" in said("glossary", "get", id, status=1)


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


def test_deepl_documents(closed: tuple[str, str]) -> None:
    url, key = closed
    with contextlib.closing(deepl.DeepLClient(key, server_url=url)) as client:
        handle = client.translate_document_upload(
            ENGLISH, source_lang="EN", target_lang="DE", filename="shop.txt"
        )
        again = deepl.DocumentHandle(handle.document_id, handle.document_key)
        wait_for(lambda: client.translate_document_get_status(again).done)
        status = client.translate_document_get_status(again)
        assert (status.ok, status.billed_characters) == (True, len(ENGLISH))
        written = io.BytesIO()
        client.translate_document_download(again, written)
        assert written.getvalue().decode() == f"de:{ENGLISH}"
        assert client.get_usage().character.count == len(ENGLISH)
        other = deepl.DocumentHandle(handle.document_id, "CD34" * 16)
        with pytest.raises(deepl.DeepLException, match="Not found"):
            client.translate_document_get_status(other)
        with pytest.raises(deepl.DeepLException, match="Invalid file extension"):
            client.translate_document_upload(ENGLISH, target_lang="DE", filename="shop.invalid")


def test_libretranslate_with_keys(closed: tuple[str, str]) -> None:
    url, key = closed
    client = LibreTranslateAPI(f"{url}/", api_key=key)
    assert client.translate(ENGLISH, "en", "de") == f"de:{ENGLISH}"
    with LibreTranslate(url, api_key=key) as other:
        assert other.translate("a", source="en", target="de").translated_text == "de:a"
        settings = other.frontend_settings()
        assert (settings.key_required, settings.api_keys, settings.suggestions) == (True,) * 3
        assert other.suggest("a", "b", "en", "de")
        with pytest.raises(RateLimitError):
            other.translate("x" * 101, source="en", target="de")
    with LibreTranslate(url, api_key="wrong") as stranger, pytest.raises(ForbiddenError):
        stranger.translate("a", source="en", target="de")


def test_deepl_with_keys(closed: tuple[str, str]) -> None:
    url, key = closed
    with contextlib.closing(deepl.DeepLClient(key, server_url=url)) as client:
        assert str(client.translate_text("Hello", target_lang="DE")) == "de:Hello"
        usage = client.get_usage()
        assert (usage.character.count, usage.character.limit) == (5, 100)
        with pytest.raises(deepl.QuotaExceededException):
            client.translate_text("x" * 96, target_lang="DE")
    with contextlib.closing(deepl.DeepLClient("wrong", server_url=url)) as stranger:
        for call in (stranger.get_usage, stranger.get_source_languages, stranger.list_glossaries):
            with pytest.raises(deepl.AuthorizationException):
                call()


def test_deepl_glossaries(closed: tuple[str, str]) -> None:
    url, key = closed
    entries = {"cat": "Katze", "dog": "Hund"}
    with contextlib.closing(deepl.DeepLClient(key, server_url=url)) as client:
        assert [
            (pair.source_lang, pair.target_lang) for pair in client.get_glossary_languages()
        ] == [("de", "en"), ("en", "de")]
        glossary = client.create_glossary("animals", "EN", "DE", entries)
        assert (glossary.name, glossary.ready, glossary.entry_count) == ("animals", True, 2)
        assert (glossary.source_lang, glossary.target_lang) == ("EN", "DE")
        age = datetime.datetime.now(datetime.UTC) - glossary.creation_time
        assert abs(age.total_seconds()) < 600
        assert client.get_glossary(glossary.glossary_id).name == "animals"
        assert client.get_glossary_entries(glossary) == entries
        with_terms = client.translate_text(
            "a", source_lang="EN", target_lang="DE", glossary=glossary
        )
        assert str(with_terms) == "de:a"
        assert str(client.translate_text_with_glossary("a", glossary)) == "de:a"
        csv = client.create_glossary_from_csv("more", "EN", "DE", "cow,Kuh\n")
        assert client.get_glossary_entries(csv) == {"cow": "Kuh"}
        assert {each.name for each in client.list_glossaries()} == {"animals", "more"}
        client.delete_glossary(glossary)
        with pytest.raises(deepl.GlossaryNotFoundException):
            client.get_glossary(glossary.glossary_id)


def test_deepl_multilingual_glossaries(closed: tuple[str, str]) -> None:
    url, key = closed
    new = MultilingualGlossaryDictionaryEntries
    with contextlib.closing(deepl.DeepLClient(key, server_url=url)) as client:
        glossary = client.create_multilingual_glossary(
            "animals", [new("EN", "DE", {"cat": "Katze"}), new("DE", "EN", {"Hund": "dog"})]
        )
        assert [(one.source_lang, one.target_lang) for one in glossary.dictionaries] == [
            ("EN", "DE"), ("DE", "EN"),
        ]  # fmt: skip
        renamed = client.update_multilingual_glossary_name(glossary, "Tiere")
        assert renamed.name == "Tiere"
        client.update_multilingual_glossary_dictionary(
            glossary, new("EN", "DE", {"cat": "Mieze", "cow": "Kuh"})
        )
        [found] = client.get_multilingual_glossary_entries(glossary, "EN", "DE").dictionaries
        assert found.entries == "cat\tMieze\ncow\tKuh"
        replaced = client.replace_multilingual_glossary_dictionary(
            glossary, new("EN", "DE", {"pig": "Schwein"})
        )
        assert replaced.entry_count == 1
        translated = client.translate_text(
            "a", source_lang="EN", target_lang="DE", glossary=glossary
        )
        assert str(translated) == "de:a"
        client.delete_multilingual_glossary_dictionary(glossary, source_lang="EN", target_lang="DE")
        left = client.get_multilingual_glossary(glossary.glossary_id)
        assert [one.source_lang for one in left.dictionaries] == ["DE"]
        assert [one.name for one in client.list_multilingual_glossaries()] == ["Tiere"]
        client.delete_multilingual_glossary(glossary)
        assert client.list_multilingual_glossaries() == []
