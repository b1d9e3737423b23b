"""What people do on the page, in a real browser."""

from __future__ import annotations

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from tests.integration.service_process import ServiceProcess, wait_for
from tests.office_files import docx_file, member
from tests.web.conftest import open_page

SENTENCE = "The animal didn't cross the street because it was tired."
MARKUP = '<img src=x onerror="document.title=1"><script>document.title=2</script><b>Hello</b>'
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
WEB = Path(__file__).parents[2] / "service/web"


def type_text(page: Page, text: str) -> None:
    page.locator("#text").fill(text)


def choose(page: Page, source: str, target: str) -> None:
    page.locator("#source").select_option(source)
    page.locator("#target").select_option(target)


def translated(page: Page, text: str) -> str:
    """The whole translation of a text that is typed."""
    type_text(page, text)
    expect(page.locator("#translation")).to_have_attribute("aria-busy", "false")
    return page.locator("#translation").inner_text()


def click_on_word(page: Page, word: str) -> None:
    """Clicks on a word of the translation."""
    x, y = page.evaluate(
        """word => {
          const node = document.querySelector("#translation").firstChild;
          const begin = node.data.indexOf(word);
          const range = document.createRange();
          range.setStart(node, begin);
          range.setEnd(node, begin + word.length);
          const box = range.getBoundingClientRect();
          return [box.x + box.width / 2, box.y + box.height / 2];
        }""",
        word,
    )
    page.mouse.click(x, y)


def hold_first(page: Page, held: list[Route]) -> None:
    """Lets the first request for a translation wait, and no other."""

    def answer(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/v1/translate", answer)


def violations(page: Page) -> list[str]:
    """What is not accessible, by axe."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:120]}" for each in found]


def overflows(page: Page) -> bool:
    """Whether the page is wider than its window."""
    wider: bool = page.evaluate(
        "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )
    return wider


def test_it_is_opened_and_named_first(page_service: ServiceProcess) -> None:
    opened = page_service.output.parent / "opened"
    wait_for(lambda: opened.is_file() and opened.read_text())
    assert opened.read_text() == f"{page_service.url}\n"
    assert (
        page_service.output.read_text()
        .splitlines()[1]
        .startswith(f"  page     {page_service.url} ")
    )


def test_what_is_typed_is_translated_as_it_comes(page: Page) -> None:
    choose(page, "en", "de")
    shown: list[str] = []
    page.expose_function("saw", lambda text: shown.append(text))
    page.evaluate(
        """() => new MutationObserver(() => saw(document.querySelector("#translation").textContent))
             .observe(document.querySelector("#translation"),
                      {childList: true, characterData: true, subtree: true})"""
    )
    whole = translated(page, f"{SENTENCE} We will meet again tomorrow. The weather is nice.")
    assert whole.startswith("Das Tier")
    assert whole.count(".") == 3
    parts = [part for part in shown if part and part != whole]
    assert parts
    assert all(whole.startswith(part) for part in parts)


def test_the_language_is_detected_and_the_target_is_another_one(page: Page) -> None:
    assert page.locator("#target").input_value() == "en"
    assert translated(page, "Good morning!") == "Guten Morgen!"
    assert page.locator("#target").input_value() == "de"
    expect(page.locator("#detected")).to_have_text("English found")


def test_languages_are_swapped_with_the_texts(page: Page) -> None:
    translated(page, "Good morning!")
    page.keyboard.press("Control+Shift+S")
    expect(page.locator("#text")).to_have_value("Guten Morgen!")
    expect(page.locator("#translation")).to_contain_text("Good morning")
    assert page.locator("#source").input_value() == "de"


def test_a_swap_waits_for_the_whole_translation(page: Page) -> None:
    choose(page, "en", "de")
    held: list[Route] = []
    hold_first(page, held)
    with page.expect_request("**/v1/translate"):
        type_text(page, "Good morning!")
    page.locator("#swap").click()
    expect(page.locator("#text")).to_have_value("Good morning!")
    held[0].continue_()
    expect(page.locator("#text")).to_have_value("Guten Morgen!")
    expect(page.locator("#translation")).to_contain_text("Good morning")


def test_without_a_way_back_nothing_is_swapped(page: Page) -> None:
    languages = [{"code": "en", "name": "English", "targets": ["de", "en"]}]
    page.route("**/languages", lambda route: route.fulfill(json=languages))
    open_page(page)
    assert translated(page, "Good morning!") == "Guten Morgen!"
    expect(page.locator("#swap")).to_be_disabled()


def test_it_waits_for_a_first_model(page: Page) -> None:
    page.route("**/languages", lambda route: route.fulfill(json=[]))
    page.goto("/")
    expect(page.locator("#problem")).to_contain_text("no model yet")
    type_text(page, "Good morning!")
    page.unroute("**/languages")
    expect(page.locator("#translation")).to_have_text("Guten Morgen!")
    expect(page.locator("#problem")).to_be_hidden()


def test_a_key_is_asked_for_and_kept_in_the_tab(page: Page) -> None:
    given: list[str | None] = []

    def ask(route: Route) -> None:
        given.append(route.request.headers.get("authorization"))
        if given[-1] == "Bearer right":
            route.continue_()
        else:
            route.fulfill(status=401, json={"error": {"type": "unauthenticated", "message": "no"}})

    page.route("**/v1/translate", ask)
    choose(page, "en", "de")
    type_text(page, "Good morning!")
    expect(page.locator("#problem")).to_contain_text("This service asks for a key.")
    page.get_by_label("API key").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#problem")).to_contain_text("This key is not valid.")
    assert violations(page) == []
    page.get_by_label("API key").fill("right")
    page.get_by_role("button", name="Use it").click()
    expect(page.locator("#translation")).to_have_text("Guten Morgen!")
    expect(page.locator("#text")).to_be_focused()
    expect(page.locator("#problem")).to_be_hidden()
    open_page(page)
    translated(page, "Good morning!")
    assert given == [None, "Bearer wrong", "Bearer right", "Bearer right"]
    assert page.evaluate("() => JSON.stringify(localStorage).includes('right')") is False


def test_a_problem_is_seen_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 640})
    page.route("**/v1/translate", lambda route: route.fulfill(status=503, json={}))
    type_text(page, "Good morning!")
    expect(page.get_by_role("button", name="Try again")).to_be_in_viewport()


def test_a_service_without_documents_says_so(page: Page) -> None:
    page.route("**/v1/documents", lambda route: route.fulfill(
        status=404, json={"error": {"type": "not_found", "message": "there is nothing"}}
    ))  # fmt: skip
    page.locator("#file").set_input_files(
        {"name": "letter.txt", "mimeType": "text/plain", "buffer": b"Good morning!"}
    )
    expect(page.locator("#documents")).to_contain_text("translates no documents")
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator("#documents li")).to_have_count(0)


def test_a_document_is_sent_and_fetched(page: Page, tmp_path: Path) -> None:
    states = [
        {"id": "d1", "state": "waiting", "progress": 0},
        {"id": "d1", "state": "translating", "progress": 0.5},
        {"id": "d1", "state": "done", "progress": 1, "result_name": "letter.de.txt"},
    ]
    page.route("**/v1/documents", lambda route: route.fulfill(json=states.pop(0)))
    page.route("**/v1/documents/d1", lambda route: route.fulfill(json=states.pop(0)))
    page.route("**/v1/documents/d1/result", lambda route: route.fulfill(body="Guten Morgen!"))
    page.locator("#file").set_input_files(
        {"name": "letter.txt", "mimeType": "text/plain", "buffer": b"Good morning!"}
    )
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save").click()
    assert saved.value.suggested_filename == "letter.de.txt"
    saved.value.save_as(tmp_path / "saved")
    assert (tmp_path / "saved").read_text() == "Guten Morgen!"


def test_a_word_document_is_translated(page: Page, tmp_path: Path) -> None:
    choose(page, "en", "de")
    body = "<w:p><w:r><w:rPr><w:b/></w:rPr><w:t>Good morning!</w:t></w:r></w:p>"
    page.locator("#file").set_input_files(
        {"name": "letter.docx", "mimeType": DOCX, "buffer": docx_file(body)}
    )
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save").click()
    assert saved.value.suggested_filename == "letter.de.docx"
    saved.value.save_as(tmp_path / "saved.docx")
    document = member((tmp_path / "saved.docx").read_bytes(), "word/document.xml")
    assert "<w:b/>" in document
    assert "Guten Morgen!" in document
    assert "Good" not in document


def test_what_was_cleared_can_be_had_back(page: Page) -> None:
    translated(page, "Good morning!")
    page.locator("#text").press("Escape")
    expect(page.locator("#translation")).to_be_empty()
    page.keyboard.press("Control+z")
    expect(page.locator("#translation")).to_have_text("Guten Morgen!")


def test_a_page_without_tls_can_be_copied_from(page: Page) -> None:
    # A browser has no navigator.clipboard there.
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    open_page(page)
    translated(page, "Good morning!")
    page.locator("#copy").click()
    expect(page.locator("#copy")).to_have_text("Copied")
    page.locator("#clear").click()
    page.keyboard.press("Control+v")
    expect(page.locator("#text")).to_have_value("Guten Morgen!")


def test_older_requests_are_not_waited_for(page: Page) -> None:
    held: list[Route] = []
    hold_first(page, held)
    type_text(page, "Good night!")
    page.wait_for_timeout(400)
    assert translated(page, "Good morning!") == "Guten Morgen!"
    held[0].abort()
    page.wait_for_timeout(300)
    assert page.locator("#translation").inner_text() == "Guten Morgen!"
    expect(page.locator("#problem")).to_be_hidden()


def test_a_clicked_word_has_alternatives(page: Page) -> None:
    before = translated(page, f"{SENTENCE} We will meet again tomorrow.")
    click_on_word(page, before.split()[2])
    options = page.locator("#alternatives [role=option]")
    expect(options.first).to_be_focused()
    assert options.count() >= 2
    chosen = options.nth(1).inner_text()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#alternatives")).to_be_hidden()
    after = page.locator("#translation").inner_text()
    assert after.startswith(chosen)
    assert after != before
    assert after.endswith(before.rpartition(". ")[2])


def test_the_glossary_and_settings_are_used_and_kept(page: Page) -> None:
    page.locator("#glossary-side summary").click()
    page.get_by_label("Term", exact=True).fill("street")
    page.get_by_label("Translation", exact=True).last.fill("Gasse")
    page.locator("#settings-side summary").click()
    page.locator("#beam").fill("2")
    assert "Gasse" in translated(page, "The street is old.")
    open_page(page)
    assert page.locator("#beam").input_value() == "2"
    assert "Gasse" in translated(page, "The street is old.")


def test_the_history_is_kept_only_on_request(page: Page) -> None:
    translated(page, "Good morning!")
    assert page.evaluate("() => localStorage.getItem('history')") is None
    page.locator("#settings-side summary").click()
    page.locator("#remember").check()
    translated(page, "Good evening!")
    page.locator("#history-side summary").click()
    expect(page.locator("#history li")).to_have_count(1)
    page.locator("#forget").click()
    expect(page.locator("#history li")).to_have_count(0)


def test_a_link_has_the_text_behind_its_fragment(page: Page) -> None:
    open_page(page, "/#translate?source=en&target=de&text=Good%20morning!")
    expect(page.locator("#translation")).to_have_text("Guten Morgen!")
    assert page.locator("#source").input_value() == "en"


def test_markup_in_a_text_stays_text(page: Page) -> None:
    translated(page, MARKUP)
    assert page.locator("#translation *").count() == 0
    assert page.title() == "Polyhead"


def test_markup_in_an_answer_stays_text(page: Page) -> None:
    reply = {"translations": [{"text": MARKUP, "alignments": []}], "source": "en", "target": "de"}
    events = [("delta", {"index": 0, "text": MARKUP}), ("result", reply)]
    body = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
    page.route("**/v1/translate", lambda route: route.fulfill(
        content_type="text/event-stream", body=body
    ))  # fmt: skip
    type_text(page, "Hello")
    expect(page.locator("#translation")).to_have_text(MARKUP)
    page.locator("[data-view=use]").click()
    assert page.locator("main img, main script").count() == 0
    assert page.title() == "Polyhead"


def test_an_error_is_told_in_plain_words_and_tried_again(page: Page) -> None:
    error = {"error": {"type": "overloaded", "message": "too many requests wait"}}
    page.route("**/v1/translate", lambda route: route.fulfill(
        status=503, headers={"Retry-After": "2"}, content_type="application/json",
        body=json.dumps(error),
    ))  # fmt: skip
    type_text(page, "Good morning!")
    expect(page.locator("#problem")).to_contain_text("too much to do")
    page.unroute("**/v1/translate")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#translation")).to_have_text("Guten Morgen!")
    expect(page.locator("#problem")).to_be_hidden()


def test_a_service_that_goes_away_and_comes_back(page: Page) -> None:
    translated(page, "Good morning!")
    page.context.set_offline(True)
    type_text(page, "Good evening!")
    expect(page.locator("#problem")).to_contain_text("cannot be reached")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#translation")).to_have_text("Guten Abend!")


def test_a_stream_that_breaks_off_says_so(page: Page) -> None:
    body = 'event: delta\ndata: {"index": 0, "text": "Guten"}\n\n'
    page.route("**/v1/translate", lambda route: route.fulfill(
        content_type="text/event-stream", body=body
    ))  # fmt: skip
    type_text(page, "Good morning!")
    expect(page.locator("#problem")).to_contain_text("broke off")


def test_what_is_too_long_is_told_before_it_is_sent(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    type_text(page, "a" * 20_001)
    expect(page.locator("#count")).to_contain_text("too long")
    page.wait_for_timeout(500)
    assert not [url for url in asked if url.endswith("/v1/translate")]


def test_heads_are_looked_into(page: Page) -> None:
    translated(page, SENTENCE)
    page.locator("#look").click()
    expect(page.locator("#web line").first).to_be_attached()
    expect(page.locator("#heads button")).to_have_count(24)
    assert "it" in page.locator("#web text.token").all_text_contents()
    token = page.locator("#web text.token", has_text=re.compile(r"^it$"))
    token.hover()
    lit = page.locator("#web rect").evaluate_all(
        "boxes => boxes.filter(box => Number(box.getAttribute('fill-opacity')) > 0).length"
    )
    assert lit > 1
    page.locator("#heads button").nth(3).click()
    assert page.locator("#head").input_value() == "3"
    page.get_by_label("the translation to the text").check()
    expect(page.locator("#heads button")).to_have_count(8)
    page.locator("#map").hover()
    expect(page.locator("#cell")).to_contain_text("%")
    page.locator("#pair-source .word", has_text="animal").hover()
    expect(page.locator("#pair-target .lit")).to_have_text("Tier")


def test_words_that_belong_together_are_reached_by_keyboard(page: Page) -> None:
    translated(page, SENTENCE)
    page.locator("#look").click()
    words = page.locator("#pair-source .word")
    expect(words.first).to_be_visible()
    words.first.focus()
    page.keyboard.press("ArrowRight")
    expect(words.nth(1)).to_be_focused()
    expect(page.locator("#pair-target .lit")).to_have_text("Tier")
    expect(page.locator("#pair-said")).to_have_text("animal – Tier")
    page.keyboard.press("End")
    expect(words.last).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(words.last).to_be_focused()
    # All words of a side are one stop of the Tab key.
    assert page.locator("#pair-source .word[tabindex='0']").count() == 1
    page.keyboard.press("Tab")
    expect(page.locator("#pair-target .word").first).to_be_focused()


def test_the_search_is_a_tree(page: Page, tmp_path: Path) -> None:
    translated(page, SENTENCE)
    page.locator("#look").click()
    tree = page.locator("#beam-tree svg")
    expect(tree).to_be_visible()
    expect(page.locator("#beam-translation")).to_have_text(re.compile("^Das Tier"))
    pruned = page.locator("#beam-tree .pruned")
    assert pruned.count() > 10
    assert page.locator("#beam-tree .ended").count() >= 1
    expect(page.locator("#candidate")).not_to_contain_text("%")
    page.locator("#beam-tree [aria-label^='Das: '][aria-label*='on the way']").hover()
    expect(page.locator("#candidate")).to_contain_text("Das: ")
    expect(page.locator("#candidate")).to_contain_text("on the way to the translation")
    # By keyboard, along the way that was taken.
    page.locator("#beam-tree [tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#candidate")).to_contain_text("Das: ")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#candidate")).not_to_contain_text("on the way")
    page.locator("#beam-pruned").uncheck()
    expect(pruned).to_have_count(0)
    page.locator("#beam-size").fill("1")
    page.locator("#beam-size").press("Enter")
    expect(page.locator("#beam-tree .ended")).to_have_count(1)
    for name, begin in (("SVG", b"<svg"), ("PNG", b"\x89PNG"), ("JSON", b"{")):
        with page.expect_download() as saved:
            page.get_by_role("button", name=f"The search as {name}").click()
        saved.value.save_as(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(begin)
    search = json.loads((tmp_path / "JSON").read_text())
    assert search["beam_size"] == 1
    assert search["best"] == [*range(len(search["candidates"]))]


def test_a_search_that_is_too_long_is_told_beside_the_attention(page: Page) -> None:
    error = {"error": {"type": "invalid_request", "message": "the search must be shorter"}}
    page.route("**/v1/beam", lambda route: route.fulfill(status=422, json=error))
    page.locator("[data-view=inside]").click()
    page.get_by_role("button", name="Look", exact=True).click()
    expect(page.locator("#beam-problem")).to_contain_text("The search must be shorter.")
    expect(page.locator("#web line").first).to_be_attached()
    expect(page.locator("#beam-result")).to_be_hidden()


def watch(page: Page) -> None:
    """Opens the view of what the service does."""
    page.locator("[data-view=watch]").click()
    expect(page.locator("#watch-result")).to_be_visible()


def test_sentences_join_and_leave_while_one_watches(
    page: Page, page_service: ServiceProcess
) -> None:
    watch(page)
    drawn = "() => document.querySelector('.chart path').getAttribute('d')"
    before = page.evaluate(drawn)
    text = " ".join(f"There are {number} letters in the house." for number in range(2, 32))

    def count(name: str) -> int:
        return int(page.locator(f"#batch-{name}").inner_text())

    seen = threading.Event()

    def work() -> None:
        body = {"text": text, "source": "en", "target": "de", "cache": False}
        while not seen.is_set():
            assert page_service.client.post("/v1/translate", json=body).status_code == 200

    with ThreadPoolExecutor(1) as worker:
        working = worker.submit(work)
        try:
            some = re.compile(r"\d+ sentences? in \d+ slots?")
            expect(page.locator("#batch-now")).to_have_text(some)
            expect(page.locator("#batch-left")).to_have_text(re.compile(r"[3-9]\d|\d{3,}"))
        finally:
            seen.set()
        working.result()
    assert count("left") <= count("joined")
    expect(page.locator("#loaded")).to_contain_text("en-de")
    assert page.evaluate(drawn) != before
    values = page.locator(".chart output").all_inner_texts()
    assert re.search(r"\d", values[0])
    assert "of" in values[4]
    inked = """() => {
      const canvas = document.querySelector("#batch");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return data.some((value, at) => at % 4 === 3 && value > 0);
    }"""
    assert page.evaluate(inked)
    # Held still, one goes from step to step.
    page.locator("#batch-pause").click()
    page.locator("#batch-back").click()
    assert page.locator("#batch-now").inner_text()
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#batch-back")).to_be_disabled()


def test_nobody_is_asked_when_nobody_looks(page: Page, page_service: ServiceProcess) -> None:
    watch(page)
    in_flight = 'polyhead_http_requests_in_flight{replica="Gateway",route="/v1/live"}'

    def watchers() -> float:
        lines = page_service.client.get("/metrics").text.splitlines()
        found = [line.rpartition(" ")[2] for line in lines if line.startswith(in_flight)]
        return float(found[0]) if found else 0.0

    wait_for(lambda: watchers() == 1)
    page.locator("[data-view=translate]").click()
    wait_for(lambda: watchers() == 0)


def test_without_word_of_it_nothing_is_shown_to_run(page: Page) -> None:
    """Whoever watches again is told of other sentences by the same numbers, or of none."""
    shown = page.evaluate(
        """async () => {
          const { Batch } = await import("./web/scripts/batch.js");
          const batch = new Batch();
          const told = (slot) => ({ steps: [], seconds_ago: 0, running: [
            { number: 1, worker: 0, slots: [slot], source_tokens: 5 }] });
          batch.add(told(0), 10);
          batch.stop(11);
          const between = batch.at(12).length;
          batch.add(told(1), 20);
          return [between, batch.at(20.5).map(({ begin }) => begin), batch.joined, batch.left];
        }"""
    )
    assert shown == [0, [20], 2, 1]


def test_watching_may_be_off_or_need_a_key(page: Page) -> None:
    message = "the API key must have the scope watch, but has not"
    answers = [
        (404, {"error": {"type": "not_found", "message": "there is nothing at this path"}}),
        (403, {"error": {"type": "forbidden", "message": message}}),
    ]
    keys: list[str | None] = []

    def answer(route: Route) -> None:
        keys.append(route.request.headers.get("authorization"))
        if answers:
            status, body = answers.pop(0)
            route.fulfill(status=status, json=body)
        else:
            route.continue_()

    page.route("**/v1/live*", answer)
    page.locator("[data-view=watch]").click()
    expect(page.locator("#watch-problem")).to_contain_text("does not let itself be watched")
    page.locator("[data-view=translate]").click()
    page.locator("[data-view=watch]").click()
    expect(page.locator("#watch-problem")).to_contain_text("scope watch")
    page.get_by_label("API key").fill("right")
    page.get_by_role("button", name="Use it").click()
    expect(page.locator("#watch-result")).to_be_visible()
    expect(page.locator("#watch-problem")).to_be_hidden()
    assert keys == [None, None, "Bearer right"]


@pytest.mark.parametrize(("button", "begin"), [
    ("SVG", b"<svg"), ("PNG", b"\x89PNG"), ("JSON", b"{"),
])  # fmt: skip
def test_pictures_are_saved(page: Page, tmp_path: Path, button: str, begin: bytes) -> None:
    page.locator("[data-view=inside]").click()
    page.get_by_role("button", name="Look", exact=True).click()
    with page.expect_download() as saved:
        page.get_by_role("button", name=button, exact=True).click()
    saved.value.save_as(tmp_path / "saved")
    assert (tmp_path / "saved").read_bytes().startswith(begin)


def test_all_heads_of_forty_tokens_are_drawn_at_once(page: Page) -> None:
    # How long it takes says the browser's own clock; here only that it is no work of seconds.
    milliseconds = page.evaluate(
        """async () => {
          const { drawHeads } = await import("./web/scripts/attention.js");
          const map = Array.from({length: 40}, () => new Array(40).fill(1 / 40));
          const heads = Array.from({length: 144}, (_, at) => (
            {layer: at >> 3, head: at % 8, map, entropy: 1, habit: "itself"}));
          const start = performance.now();
          drawHeads(document.querySelector("#heads"), heads, () => false, () => {});
          return performance.now() - start;
        }"""
    )
    assert page.locator("#heads canvas").count() == 144
    assert milliseconds < 5000


def test_samples_have_what_was_translated(page: Page, page_service: object) -> None:
    translated(page, "It's five o'clock.")
    page.locator("[data-view=use]").click()
    codes = page.locator("#samples code").all_inner_texts()
    assert len(codes) == 5
    assert r"It'\''s five" in codes[0]
    assert "127.0.0.1" in codes[0]


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_all_views_are_accessible(page: Page, colours: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.locator("#theme").select_option(colours)
    translated(page, SENTENCE)
    click_on_word(page, "Tier")
    expect(page.locator("#alternatives")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.locator("#look").click()
    expect(page.locator("#beam-tree svg")).to_be_visible()
    assert violations(page) == []
    assert not overflows(page)
    watch(page)
    assert violations(page) == []
    assert not overflows(page)
    page.locator("[data-view=use]").click()
    assert violations(page) == []
    assert not overflows(page)


def test_right_to_left_texts_run_so(page: Page) -> None:
    type_text(page, "مرحبا بالعالم")
    assert page.locator("#text").evaluate("box => getComputedStyle(box).direction") == "rtl"


def test_each_paragraph_runs_its_own_way(page: Page) -> None:
    text = "Hello!\nمرحبا\n"
    reply = {"translations": [{"text": text}], "source": "en", "target": "ar"}
    body = f"event: result\ndata: {json.dumps(reply)}\n\n"
    page.route("**/v1/translate", lambda route: route.fulfill(
        content_type="text/event-stream", body=body
    ))  # fmt: skip
    translated(page, "Hello!\nHello!\n")
    sides = page.evaluate(
        """() => {
          const pane = document.querySelector("#translation");
          const node = pane.firstChild;
          return [0, 7].map((at) => {
            const range = document.createRange();
            range.setStart(node, at);
            range.setEnd(node, at + 5);
            const box = range.getBoundingClientRect();
            const around = pane.getBoundingClientRect();
            return box.left - around.left < around.right - box.right ? "left" : "right";
          });
        }"""
    )
    assert sides == ["left", "right"]


def test_the_page_is_small() -> None:
    assert sum(file.stat().st_size for file in WEB.rglob("*") if file.is_file()) <= 200_000
