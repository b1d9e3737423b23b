"""Small numbers in words, in translations of the models that come with the project."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from model.config import EngineConfig
from model.text_options import GlossaryEntry, TextOptions
from model.translator import Translator


@pytest.fixture(scope="module", params=["de-en", "en-de"])
def translator(request: pytest.FixtureRequest) -> Iterator[Translator]:
    with Translator.load(request.param, EngineConfig(device="cpu", num_threads=1)) as loaded:
        yield loaded


SAID = {
    "de-en": {
        "Wir sehen uns am Montag um zehn.": r"ten|10",
        "Etwa 1000 v. Chr. war es so.": r"BC",
        "Im 1. Jahrhundert n. Chr. lebte er.": r"1st century AD",
        "Am Dienstag um zwölf essen wir zusammen.": r"twelve|12|noon",
        "Neun Monate nach der Wahl ist er gegangen.": r"nine|9",
        "Meine Mutter hat wegen ihrer Krankheit drei Tage nicht geschlafen.": r"three|3",
    },
    "en-de": {
        "Nine month-old Ruby ran off on Sunday.": r"neun|9",
        "On five occasions he met women.": r"fünf|5",
        "Let's meet on Friday at nine.": r"neun|9|21",
        "Alexander died in 323 BCE.": r"v\. Chr\.\Z",
        "Chapters IV\u2013VII cover Henry VIII and Louis XIV.": r"VIII(?!\w)",
    },
}


def test_a_number_in_words_keeps_its_value(translator: Translator) -> None:
    cases = SAID[translator.name.removeprefix("polyhead-")]
    for text, said in cases.items():
        [translation] = translator.translate([text])
        assert re.search(rf"(?<!\w)(?:{said})", translation.text, re.IGNORECASE), translation.text
        assert not re.search(r"\s[A-Z](?:en|wo|hree|ine)\b", translation.text), translation.text


def test_a_number_in_words_is_not_said_by_a_banned_term(translator: Translator) -> None:
    text, banned = {
        "de-en": ("Sieben Zwerge lebten im Wald.", "seven"),
        "en-de": ("On five occasions he met women.", "f\xfcnf"),
    }[translator.name.removeprefix("polyhead-")]
    for num_hypotheses in (1, 4):
        search = replace(translator.generation, num_hypotheses=num_hypotheses)
        options = TextOptions(banned_terms=(banned,))
        [translation] = translator.translate([text], text_options=options, generation=search)
        for hypothesis in translation.hypotheses:
            assert banned not in hypothesis.text.casefold()


WITH_ALL = {
    "de-en": (
        "Um zehn trafen siebenundachtzig Gäste Herrn Krause am Bahnhof, und drei Hunde sahen X-9.",
        {"Bahnhof": "depot", "Hunde": "puppies"}, ("guests", "dogs"), ("Herrn Krause", "X-9"),
        ("87", "ten|10", "three|3"),
    ),
    "en-de": (
        "At ten the forty-two guests met Dr. Smith at the station, and three dogs saw ACME-77.",
        {"station": "Bahnhof", "dogs": "Hündchen"}, ("Gäste", "Hunde"), ("Dr. Smith", "ACME-77"),
        ("42", "zehn|10", "drei|3"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("num_hypotheses", [1, 4])
@pytest.mark.parametrize("in_capitals", [False, True])
def test_numbers_in_words_stand_with_terms_and_what_is_kept_or_banned(
    translator: Translator, num_hypotheses: int, in_capitals: bool
) -> None:
    keep: tuple[str, ...]
    text, terms, banned, keep, values = WITH_ALL[translator.name.removeprefix("polyhead-")]
    if in_capitals:
        text, keep = text.upper(), ()
    options = TextOptions(
        glossary=tuple(GlossaryEntry(term, (form,)) for term, form in terms.items()),
        banned_terms=banned,
        keep=keep,
    )
    search = replace(translator.generation, num_hypotheses=num_hypotheses)
    [translation] = translator.translate(
        [text], text_options=options, return_alignments=True, generation=search
    )
    for hypothesis in translation.hypotheses:
        said = hypothesis.text
        for value in values:
            assert len(re.findall(rf"(?<!\w)(?:{value})", said, re.IGNORECASE)) == 1, said
        folded = said.casefold()
        assert all(form.casefold() in folded for form in terms.values()), said
        assert not any(re.search(rf"\b{word}\b", said, re.IGNORECASE) for word in banned), said
        assert all(said.count(string) == 1 for string in keep), said
        linked = {said[slice(*link.target)]: text[slice(*link.source)]
                  for link in hypothesis.alignments or ()}  # fmt: skip
        assert linked[values[0]].casefold() in ("forty-two", "siebenundachtzig")
    texts = [each.text for each in translation.hypotheses]
    assert len(set(texts)) == len(texts)
