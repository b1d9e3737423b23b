"""The page in a real browser, on a real service: one process with both embedded models."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.integration.service_process import ServiceProcess

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the system's browser."""
    if (path := browser_path()) is None:
        pytest.skip(f"needs a browser on the PATH, one of {', '.join(BROWSERS)}")
    return path


@pytest.fixture(scope="session")
def page_service(
    chromium: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """`polyhead serve --single-process` with the models that come with it."""
    folder = tmp_path_factory.mktemp("page")
    browser = folder / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {folder}/opened\n')
    browser.chmod(0o755)
    started = ServiceProcess(folder, "--single-process", "--open", BROWSER=str(browser))
    try:
        started.wait_until_ready()
        yield started
    finally:
        started.close()


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """A headless browser."""
    with sync_playwright() as playwright:
        # Without a sandbox of its own it also runs as root, in containers.
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def context(browser: Browser, page_service: ServiceProcess) -> Iterator[BrowserContext]:
    """A visitor of the page, who has never been there and speaks English."""
    opened = browser.new_context(
        base_url=page_service.url, viewport={"width": 1280, "height": 860}, locale="en-GB"
    )
    opened.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext, page_service: ServiceProcess) -> Iterator[Page]:
    """The page, loaded; in the end it must not have failed, nor asked any other server."""
    opened = context.new_page()
    errors: list[str] = []
    asked: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    open_page(opened)
    yield opened
    assert errors == []
    own = (page_service.url, "blob:", "data:")
    assert [url for url in asked if not url.startswith(own)] == []


def open_page(page: Page, address: str = "/") -> None:
    """Opens the page and waits for its languages."""
    page.goto(address)
    page.wait_for_selector("html[data-ready]", state="attached")


def browser_path() -> str | None:
    """The system's browser, if it has one that is like Chromium."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)
