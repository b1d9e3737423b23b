"""Pictures of the page on a real service, and its times by the browser's own clock.

    python -m tests.web.pictures [--url http://127.0.0.1:8000] FOLDER

Without a URL it starts `polyhead serve --single-process`. A picture has at most 100 KB.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.integration.service_process import ServiceProcess
from tests.web.conftest import browser_path, open_page

TEXT = (
    "The animal didn't cross the street because it was tired. We will meet again tomorrow, "
    "and I hope that the weather will be as nice as it is today."
)
SIZES = {"desktop": (1100, 620), "phone": (390, 760)}
COLOURS = ("light", "dark")
VIEWS = ("translate", "inside", "search", "watch", "use")
MOST_BYTES = 100_000
RUNS = 5
FIRST_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
DRAW_HEADS = """async () => {
  const { drawHeads } = await import("./web/scripts/attention.js");
  const map = Array.from({length: 40}, (_, at) => Array.from({length: 40}, (_, to) => (
    Math.exp(-Math.abs(at - to)))));
  const heads = Array.from({length: 144}, (_, at) => (
    {layer: at >> 3, head: at % 8, map, entropy: 1, habit: "itself"}));
  const box = document.querySelector("#heads");
  const start = performance.now();
  drawHeads(box, heads, () => false, () => {});
  box.getBoundingClientRect(); // with the layout
  return performance.now() - start;
}"""
# Requests of several sizes, a few at a time, as several programs would send them.
WORK = """async () => {
  const ask = (from, count) => fetch("v1/translate", {
    method: "POST", headers: {"Content-Type": "application/json"},
    body: JSON.stringify({source: "en", target: "de", cache: false, text: letters(from, count)}),
  });
  const letters = (from, count) => Array.from({length: count}, (_, at) =>
    `Letter ${from + at} has come today${", and we have read it".repeat(at % 4)}.`).join(" ");
  for (let turn = 0; turn < 40; turn++) {
    ask(100 * turn, 12 + 30 * (turn % 3));
    await new Promise((go) => setTimeout(go, 250));
  }
}"""
# From the last key to the first words of a translation: both are seen in the page.
WATCH = """() => {
  const output = document.querySelector("#translation");
  document.querySelector("#text").addEventListener("input", () => {
    const start = performance.now();
    window.words = null;
    const watch = new MutationObserver(() => {
      if (!output.textContent || output.classList.contains("stale")) return;
      watch.disconnect();
      window.words = performance.now() - start;
    });
    watch.observe(output, {childList: true, characterData: true, subtree: true});
  });
}"""


def main() -> None:
    """Takes the pictures, and prints the times."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--url", help="a service that runs; otherwise one is started")
    given = parser.parse_args()
    expect.set_options(timeout=60_000)
    given.folder.mkdir(parents=True, exist_ok=True)
    with _service(given.url) as url, _browser() as browser:
        for size in SIZES:
            for colours in COLOURS:
                _take(browser, url, size, colours, given.folder)
        _print_times(browser, url)


@contextmanager
def _service(url: str | None) -> Iterator[str]:
    if url:
        yield url
        return
    with tempfile.TemporaryDirectory() as folder:
        service = ServiceProcess(Path(folder), "--single-process")
        try:
            service.wait_until_ready()
            yield service.url
        finally:
            service.close()


@contextmanager
def _browser() -> Iterator[Browser]:
    path = browser_path()
    if path is None:
        raise SystemExit("needs Chromium on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def _take(browser: Browser, url: str, size: str, colours: str, folder: Path) -> None:
    width, height = SIZES[size]
    page = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme="dark" if colours == "dark" else "light",
        locale="en-GB",
        base_url=url,
    )
    page.set_default_timeout(60_000)
    open_page(page)
    _translate(page, TEXT)
    for view in VIEWS:
        if view == "inside":
            page.locator("#look").click()
            expect(page.locator("#beam-tree svg")).to_be_visible()
            page.locator("#web text.token", has_text="it").first.hover()
        elif view != "search":
            page.locator(f"[data-view={view}]").click()
        if view == "watch":
            expect(page.locator("#watch-result")).to_be_visible()
            page.evaluate(f"() => void ({WORK})()")  # which goes on beside the pictures
            expect(page.locator("#batch-now")).to_contain_text("slot")
        page.evaluate("() => scrollTo(0, 0)")
        if view == "watch":
            page.evaluate("() => document.getElementById('charts').scrollIntoView()")
        path = folder / f"{view}-{size}-{colours}.png"
        pictured = page.locator("#beam-result") if view == "search" else page
        pictured.screenshot(path=path, animations="disabled")
        if (count := path.stat().st_size) > MOST_BYTES:
            raise SystemExit(f"{path} has {count} bytes, more than {MOST_BYTES}")
        print(f"{path}: {count} bytes")
    page.close()


def _translate(page: Page, text: str) -> None:
    page.locator("#source").select_option("en")
    page.locator("#target").select_option("de")
    page.locator("#text").fill(text)
    expect(page.locator("#translation")).to_have_attribute("aria-busy", "false")


def _print_times(browser: Browser, url: str) -> None:
    paints, words, draws = [], [], []
    for number in range(RUNS):
        page = browser.new_page(base_url=url, locale="en-GB")
        page.set_default_timeout(60_000)
        open_page(page)
        paints.append(page.evaluate(FIRST_PAINT))
        page.evaluate(WATCH)
        # A text that the service has not seen: it keeps sentences.
        _translate(page, f"{number + 2} new letters have come today. We will read them tomorrow.")
        words.append(page.evaluate("() => window.words"))
        draws.append(page.evaluate(DRAW_HEADS))
        page.close()
    for name, times in (
        ("first paint", paints),
        ("first words after the last key", words),
        ("144 heads of 40x40", draws),
    ):
        seen = [time for time in times if time is not None]
        if seen:
            print(f"{name}: median {statistics.median(seen):.0f} ms, worst {max(seen):.0f} ms")


if __name__ == "__main__":
    main()
