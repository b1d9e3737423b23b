"""The line of JSON, the tables, and the page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from loadtests.open_loop.figures import Result
from loadtests.open_loop.report import as_page, as_tables
from tests.unit.loadtests.open_loop.results import KIND, not_answered, recorded, result_of


@pytest.fixture(scope="module")
def stepped() -> Result:
    record = recorded((10, 0.1), (20, 0.1), (40, 5.0), (80, 5.0), more=[not_answered(0.0)])
    return result_of(
        record,
        profile_name="steps",
        rate=10,
        growth=2.0,
        seconds=1,
        url="http://a.test/<b>",
        seed=7,
        knee_p95_ms=500.0,
        thresholds={"max_p95_ms": 1.0},
    )


@pytest.fixture(scope="module")
def page(stepped: Result) -> str:
    return as_page(stepped)


def test_the_line_of_json_holds_what_is_needed_to_compare(stepped: Result) -> None:
    values = json.loads(json.dumps(stepped.figures))
    assert (values["profile"], values["seed"], values["commit"]) == ("steps", 7, "0123456789")
    assert (values["requests"], values["right"], values["failed"]) == (151, 150, 1)
    assert values["p99_ms"] == pytest.approx(5000, rel=0.01)
    assert values["failure_share"] == pytest.approx(1 / 151, rel=0.01)
    assert values["knee"]["offered"] == 20, "the first step lost one in eleven: it does not hold"
    assert values["kinds"][KIND]["requests"] == 151
    assert [step["holds"] for step in values["steps"]] == [False, True, False, False]
    assert values["misses"] == ["`p95_ms_of_all` must be at most 1, but is 5000"]
    assert values["hardware"]["cores"] == 2


def test_the_tables_say_what_held_and_what_failed(stepped: Result) -> None:
    text = as_tables(stepped.figures)
    assert re.search(r"^0 to 1 s +11\.0 .* no$", text, re.MULTILINE)
    assert re.search(r"^1 to 2 s +20\.0 .* yes$", text, re.MULTILINE)
    assert re.search(r"^the status must be 200, but is 500 +1$", text, re.MULTILINE)
    assert re.search(rf"^{re.escape(KIND)} +151 +150 +1 +0 ", text, re.MULTILINE)


class _References(HTMLParser):
    """Everything in a page that would make a browser load something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "img", "iframe", "object", "base"):
            self.found.append(tag)
        for name, value in attrs:
            # Within the page "#..." points at a part of it; namespaces are names.
            if name in ("src", "href", "xlink:href", "data") and not (value or "").startswith("#"):
                self.found.append(f"{tag} {name}={value}")


def test_the_page_loads_nothing(page: str) -> None:
    references = _References()
    references.feed(page)
    assert references.found == []
    assert "@import" not in page
    assert re.findall(r"url\((?!#)", page) == []


def test_the_page_has_every_plot_and_table(page: str) -> None:
    svg = ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])
    words = [text.strip() for text in svg.itertext() if text.strip()]
    for title in (
        "Latency of right answers, by the time they were planned for",
        "Requests a second",
        "Latency and throughput by offered rate",
    ):
        assert title in words
    assert page.count("<table>") == 4
    assert "Missed: `p95_ms_of_all` must be at most 1" in page


def test_words_from_outside_are_escaped(page: str) -> None:
    assert "http://a.test/&lt;b&gt;" in page
    assert "<b>" not in page
    assert "a &lt;CPU&gt;" in page


def test_the_knee_is_marked() -> None:
    record = recorded((10, 0.1), (20, 0.1), (40, 5.0), (80, 5.0))
    steps: dict[str, Any] = {"profile_name": "steps", "rate": 10, "growth": 2.0, "seconds": 1}
    result = result_of(record, **steps)
    assert "knee: 20.0 requests/s" in as_page(result)
    assert re.search(r"^offered +20.0$", as_tables(result.figures), re.MULTILINE)
    assert result.figures["knee"]["saturated"] is True


def test_a_test_without_an_answer_has_a_page_too() -> None:
    page = as_page(result_of(recorded(more=[not_answered(1.0)] * 3), seconds=2))
    assert "<svg" in page
    assert "knee:" not in page
