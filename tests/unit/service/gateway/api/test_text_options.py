"""How options of texts get from a request to the models, and what is refused."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from model.text_options import (
    NO_TEXT_OPTIONS,
    GlossaryEntry,
    KeptSpan,
    TextFormat,
    TextOptions,
)
from tests.fakes import FakeBackend, Gateway

HELLO = {"text": "Hello there", "source": "en", "target": "de"}


async def post(gateway: Gateway, change: dict[str, Any]) -> httpx.Response:
    async with gateway.client() as client:
        return await client.post("/v1/translate", json=HELLO | change)


async def test_they_reach_the_model() -> None:
    gateway = Gateway()
    answer = await post(
        gateway,
        {
            "glossary": {
                "cat": "Katze",
                "dog": ["Hund", "Hunde"],
                "US": {"forms": ["USA"], "case_sensitive": True},
            },
            "keep": ["Polyhead", {"begin": 0, "end": 5}],
            "banned_terms": ["Mieze"],
            "target_prefix": "Hallo",
        },
    )
    assert answer.status_code == 200, answer.text
    [call] = gateway.backend.calls
    assert call.text_options == TextOptions(
        keep=("Polyhead",),
        keep_spans=(KeptSpan(0, 0, 5),),
        glossary=(
            GlossaryEntry("cat", ("Katze",)),
            GlossaryEntry("dog", ("Hund", "Hunde")),
            GlossaryEntry("US", ("USA",), True),
        ),
        banned_terms=("Mieze",),
        target_prefix="Hallo",
    )
    await post(gateway, {"format": "html"})
    assert gateway.backend.calls[1].text_options == TextOptions(format=TextFormat.HTML)


async def test_who_asks_for_none_sends_none() -> None:
    gateway = Gateway()
    await post(gateway, {"glossary": {}, "keep": []})
    assert [call.text_options for call in gateway.backend.calls] == [NO_TEXT_OPTIONS]


async def test_of_two_models_the_first_keeps_terms_and_the_last_translates_them() -> None:
    gateway = Gateway(FakeBackend("de-en", (("de", "en"),)), FakeBackend("en-fr", (("en", "fr"),)))
    options = {
        "glossary": {"Katze": "minou"},
        "keep": ["X", {"begin": 0, "end": 4}],
        "banned_terms": ["chat"],
        "target_prefix": "Le",
    }
    async with gateway.client() as client:
        body = {"text": "Eine Katze", "source": "de", "target": "fr"} | options
        assert (await client.post("/v1/translate", json=body)).status_code == 200
    first, last = (backend.calls[0].text_options for backend in gateway.backends)
    assert first.glossary == (GlossaryEntry("Katze", ("Katze",)),)
    assert (first.keep_spans, first.banned_terms, first.target_prefix) == (
        (KeptSpan(0, 0, 4),), (), "",
    )  # fmt: skip
    assert last.glossary == (GlossaryEntry("Katze", ("minou",)),)
    assert (last.keep, last.keep_spans) == (("X", "Eine"), ())
    assert (last.banned_terms, last.target_prefix) == (("chat",), "Le")


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"glossary": []}, "glossary", "`glossary` must be a JSON object, but is a list"),
        ({"glossary": {"": "Katze"}}, "glossary", "but entry 0 has not"),
        ({"glossary": {"cat": ""}}, "glossary", "but entry 0 has not"),
        ({"glossary": {"dog": "Hund", "cat": []}}, "glossary", "but entry 1 has not"),
        ({"glossary": {"cat": 5}}, "glossary", "a translation for each term: text, a list of"),
        ({"glossary": {"cat": {"forms": "x"}}}, "glossary", "but entry 0 has not"),
        ({"glossary": {"cat": {"forms": ["x"], "case": 1}}}, "glossary", "but entry 0 has not"),
        ({"glossary": {"cat": "x", "Cat": "y"}}, "glossary", "entries 0 and 1 are of the same"),
        ({"glossary": {str(n): "x" for n in range(4)}}, "glossary", "at most 3 entries, but has 4"),
        ({"glossary": {"cat": list("abc")}}, "glossary", "at most 2 forms for an entry, but has 3"),
        ({"glossary": {"c" * 9: "x"}}, "glossary", "at most 8 characters in a term, but has 9"),
        ({"glossary": {str(n): 1 for n in range(10_001)}}, "glossary", "at most 10000 entries"),
        ({"glossary": {"cat": ["x"] * 20_001}}, "glossary", "at most 20000 forms, but has 20001"),
        ({"keep": ["a"] * 10_001}, "keep", "must have at most 10000 terms, but has 10001"),
        ({"banned_terms": ["a"] * 10_001}, "banned_terms", "at most 10000 terms, but has 10001"),
        ({"keep": ["a", 5]}, "keep[1].object", "must be a JSON object, but is 5"),
        ({"keep": ["a", "b", "c"]}, "keep", "at most 2 entries, but has 3"),
        ({"keep": [{"begin": 0, "end": 12}]}, "keep", "its text of 11 characters"),
        ({"banned_terms": [" a"]}, "banned_terms", r"`banned_terms[0]` must begin and end"),
        ({"banned_terms": ["a", "b"]}, "banned_terms", "at most 1 terms, but has 2"),
        ({"target_prefix": "x" * 6}, "target_prefix", "at most 5 characters, but has 6"),
        ({"text": None, "texts": ["a", "b"], "target_prefix": "x"}, "target_prefix", "with 2"),
        ({"format": "rtf"}, "format", "'markdown' or 'wrapped', but is 'rtf'"),
    ],
)
async def test_what_breaks_a_rule_is_refused(
    change: dict[str, Any], field: str, message: str
) -> None:
    gateway = Gateway(
        limits={
            "max_glossary_entries": 3,
            "max_term_forms": 2,
            "max_term_chars": 8,
            "max_kept": 2,
            "max_banned_terms": 1,
            "max_prefix_chars": 5,
        }
    )
    answer = await post(gateway, change)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert message in error["message"]
    assert error["field"] == field
    assert gateway.backend.calls == []
