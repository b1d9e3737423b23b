"""Amounts of money, in translations of the models that come with the project."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from model.config import EngineConfig
from model.text_options import GlossaryEntry, TextFormat, TextOptions
from model.translator import Translator


@pytest.fixture(scope="module", params=["de-en", "en-de"])
def translator(request: pytest.FixtureRequest) -> Iterator[Translator]:
    with Translator.load(request.param, EngineConfig(device="cpu", num_threads=1)) as loaded:
        yield loaded


SAID = {
    "en-de": {
        "The salary is $85k-100k per year.": ["85.000-100.000 Dollar", "85.000-100.000\xa0$"],
        "It costs $5-$10 per person.": ["5-10 Dollar", "5-10\xa0$", "5 bis 10 Dollar"],
        "It costs \u20ac50.": ["50 Euro", "50\xa0\u20ac"],
        "It costs \u20ac5 \u2013 \u20ac10 a day.": ["5\u201310 Euro", "5\u201310\xa0\u20ac"],
        "Revenue rose to \u20ac3.2bn.": ["3,2 Milliarden Euro", "3,2 Mrd. Euro"],
        "About 5-10% of users are affected.": ["5-10\xa0%", "5-10 Prozent"],
        "WE PAID $5 MILLION.": ["5 MILLIONEN DOLLAR"],
        "SAVE \u20ac50 TODAY!": ["50 EURO"],
        "It takes 1 hr. to get there.": ["1 Stunde,", "eine Stunde,", "1 Stunde "],
    },
    "de-en": {
        "Das Gehalt beträgt 85.000\u2013100.000 \u20ac.": [
            "85,000\u2013100,000 euros", "\u20ac85,000\u2013100,000",
        ],
        "Das kostet 5 Mio. \u20ac.": ["5 million euros.", "\u20ac5 million."],
        "Er zahlte $5 Mrd. Danach ging er.": ["$5 billion.", "5 billion dollars."],
        "Es kostet 50 \u20ac.": ["50 euros.", "\u20ac50."],
        "Das macht 1 \u20ac.": ["1 euro.", "\u20ac1.", "one euro."],
        "10 \u20ac \u2013 5 \u20ac Rabatt": ["10 euros", "\u20ac10"],
    },
}  # fmt: skip


def test_an_amount_is_said_as_the_target_language_says_it(translator: Translator) -> None:
    for text, forms in SAID[translator.name.removeprefix("polyhead-")].items():
        [translation] = translator.translate([text])
        assert any(form in translation.text for form in forms), translation.text


def test_markup_parts_amounts() -> None:
    with Translator.load("en-de", EngineConfig(device="cpu", num_threads=1)) as translator:
        for syntax, text, marks in (
            (TextFormat.MARKDOWN, "Shares fell **5%**-**6%** today.", "****"),
            (TextFormat.MARKDOWN, "It costs **\u20ac5**-*\u20ac10* now.", "***"),
            (TextFormat.HTML, '<p>It is <a id="x">$5</a> - <a id="y">$10</a>.</p>', "<>"),
        ):
            [translation] = translator.translate([text], text_options=TextOptions(format=syntax))
            assert translation.text != text
            assert "><" not in translation.text.replace("</p>", "")
            for mark in marks:
                assert translation.text.count(mark) == text.count(mark)


def test_what_is_banned_or_a_term_is_not_said_by_an_amount() -> None:
    with Translator.load("en-de", EngineConfig(device="cpu", num_threads=1)) as translator:
        for options, said in (
            (TextOptions(banned_terms=("Millionen",)), False),
            (TextOptions(glossary=(GlossaryEntry("million", ("Mio.",)),)), False),
            (TextOptions(glossary=(GlossaryEntry("cat", ("Katze",)),)), True),
        ):
            [translation] = translator.translate(["It cost $5 million."], text_options=options)
            assert ("Millionen" in translation.text) is said
