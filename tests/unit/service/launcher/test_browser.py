"""`--open`, which opens the user's browser."""

from __future__ import annotations

import webbrowser
from queue import SimpleQueue

import pytest

from service.launcher.browser import open_browser
from service.launcher.launch import Address, page_url, print_banner
from service.launcher.start_times import StartTimes
from service.settings import Settings
from tests.integration.service_process import wait_for

ADDRESS = Address(host="127.0.0.1", port=8313)


def test_the_browser_opens_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = SimpleQueue[str]()
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.put(url) or True)
    open_browser("http://127.0.0.1:8313")
    assert opened.get(timeout=60) == "http://127.0.0.1:8313"


def test_without_a_browser_it_says_where_the_page_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []

    def has_said() -> bool:
        said.append(capsys.readouterr().err)
        return "no browser was found here; open http://127.0.0.1:8313" in "".join(said)

    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    open_browser("http://127.0.0.1:8313")
    wait_for(has_said)


@pytest.mark.parametrize(("web_page", "url", "word"), [
    (True, "http://127.0.0.1:8313", "page"), (False, "http://127.0.0.1:8313/docs", "address"),
])  # fmt: skip
def test_the_banner_names_the_page_first(
    capsys: pytest.CaptureFixture[str], web_page: bool, url: str, word: str
) -> None:
    from service.catalog.directories import catalog_of

    settings = Settings(web_page=web_page)
    print_banner(ADDRESS, catalog_of(settings), settings, StartTimes(), None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:2] == [word, "http://127.0.0.1:8313"]
    assert page_url(ADDRESS, settings) == url
