"""What requests ask of their translations, with the models that come with the project."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from model.config import EngineConfig
from model.errors import InvalidOptionError
from model.text_options import GlossaryEntry, TextOptions
from model.translator import Translator

TEXT = "My cat sleeps in the old house. The house is red."


@pytest.fixture(scope="module")
def translator() -> Iterator[Translator]:
    with Translator.load("en-de", EngineConfig(num_threads=1)) as loaded:
        yield loaded


def translated(
    translator: Translator, text: str, options: TextOptions, beam_size: int = 4, number: int = 1
) -> list[str]:
    search = replace(translator.generation, beam_size=beam_size, num_hypotheses=number)
    [translation] = translator.translate([text], generation=search, text_options=options)
    return [one.text for one in translation.hypotheses]


def glossary(*entries: tuple[str, ...]) -> TextOptions:
    return TextOptions(glossary=tuple(GlossaryEntry(each[0], each[1:]) for each in entries))


@pytest.mark.parametrize(("beam_size", "number"), [(1, 1), (4, 1), (4, 4)])
def test_terms_are_used_where_they_belong(
    translator: Translator, beam_size: int, number: int
) -> None:
    options = glossary(("cat", "Mieze"), ("house", "Gebäude"), ("unused", "Nichts"))
    found = translated(translator, TEXT, options, beam_size, number)
    for text in found:
        assert len(re.findall(r"\bMieze\b", text)) == 1, text
        assert "Gebäude" in text
        assert not re.search("Katze|Nichts", text), text
    assert found[0] == "Meine Mieze schläft im alten Gebäude. Das Gebäude ist rot."


def test_of_a_beam_the_translation_that_has_the_term_goes_first(translator: Translator) -> None:
    text = "The store has numerous items to sell."
    [found] = translated(translator, text, glossary(("store", "Laden")))
    assert found.startswith("Der Laden ")


def test_terms_in_capitals(translator: Translator) -> None:
    [found] = translated(translator, "THE CAT SLEEPS IN THE HOUSE.", glossary(("cat", "Mieze")))
    assert "MIEZE" in found
    [found] = translated(translator, "My CAT sleeps.", glossary(("cat", "Mieze")))
    assert "MIEZE" in found


def test_terms_that_do_not_occur_change_nothing(translator: Translator) -> None:
    many = glossary(*((f"term {number}", "Wort") for number in range(1000)))
    [plain] = translator.translate([TEXT])
    assert translated(translator, TEXT, many) == [plain.text]


@pytest.mark.parametrize("beam_size", [1, 4])
def test_banned_terms_are_not_said(translator: Translator, beam_size: int) -> None:
    for term in ("Katze", "haus", "SCHLÄFT"):
        options = TextOptions(banned_terms=(term,))
        for text in translated(translator, TEXT, options, beam_size, beam_size):
            assert not re.search(rf"\b{term}\b", text, re.IGNORECASE), text


@pytest.mark.parametrize(
    "begun", ["Meine Kat", "Der", "Meine ", "Meine Katze schläft im alten Haus. Das H", "x"]
)
@pytest.mark.parametrize("beam_size", [1, 4])
def test_translations_go_on_from_a_beginning(
    translator: Translator, begun: str, beam_size: int
) -> None:
    options = TextOptions(target_prefix=begun)
    found = translated(translator, TEXT, options, beam_size, beam_size)
    assert all(text.startswith(begun) for text in found), found
    assert found[0].endswith("rot.")
    assert found[0].count(".") == 2


def test_words_are_aligned_behind_a_beginning(translator: Translator) -> None:
    options = TextOptions(target_prefix="Meine Katze schläft im alten Haus. Das")
    [translation] = translator.translate([TEXT], text_options=options, return_alignments=True)
    pairs = {
        (TEXT[slice(*link.source)], translation.text[slice(*link.target)])
        for link in translation.alignments or ()
    }
    assert {("house", "Haus"), ("red", "rot")} <= pairs
    assert ("cat", "Katze") not in pairs


def test_a_beginning_needs_a_text(translator: Translator) -> None:
    with pytest.raises(InvalidOptionError, match="there is nothing to translate"):
        translated(translator, "12", TextOptions(target_prefix="Das"))
    stream = translator.translate_stream(
        ["a cat", "a dog"], window=1, text_options=TextOptions(target_prefix="Ei")
    )
    assert next(stream).text.startswith("Ei")
    with pytest.raises(InvalidOptionError, match="must come with one text, but comes with 2"):
        next(stream)


def test_all_ways_to_call_agree(translator: Translator) -> None:
    options = replace(glossary(("cat", "Mieze")), target_prefix="Mei", banned_terms=("alten",))
    [text] = translated(translator, TEXT, options)
    assert text.startswith("Meine Mieze")
    [of_stream] = translator.translate_stream([TEXT], text_options=options)
    [of_task] = asyncio.run(translator.translate_async([TEXT], text_options=options))
    assert of_stream.text == of_task.text == text
