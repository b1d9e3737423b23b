"""What a translation says of the runs of its source."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.checkpoints.embedded import EMBEDDED
from model.decoding.phrases import trace
from model.decoding.run_phrases import phrases_of
from model.decoding.sequence_options import SequenceOptions
from model.text.languages import Pair
from model.text.runs import Reading, Run, RunReader
from model.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer.from_file(Path(EMBEDDED["en-de"]) / "tokenizer.model")
PLAIN = RunReader(TOKENIZER, placeholders=False)


def read(sentence: str, *kept: str) -> Reading:
    runs = []
    at = 0
    for each in kept:
        at = sentence.index(each, at)
        runs.append(Run(at, at + len(each), final=each))
        at += len(each)
    return PLAIN.read(sentence, runs, read_as={})


def rendered(reading: Reading, translation: str) -> str:
    """The translation, as the search that knows the phrases has written it."""
    encoder = TOKENIZER.source_encoder(Pair("en", "de"))
    phrases = phrases_of(reading, encoder.encode(reading.text), encoder, TOKENIZER)
    token_ids = TOKENIZER.tokenize(translation)
    spans = trace(token_ids, SequenceOptions(phrases=phrases))
    return PLAIN.rendered(reading, token_ids, spans).text


def test_a_model_without_placeholders_reads_a_letter_and_a_digit() -> None:
    reading = read("Hi {name}s, see a@b.de.", "{name}", "a@b.de")
    assert reading.text == "Hi Z1 s, see K2."
    assert [reading.text[slice(*place)] for place in reading.places] == ["Z1", "K2"]
    assert rendered(reading, "Hallo Z1 s, siehe K2.") == "Hallo {name}s, siehe a@b.de."


def test_what_the_sentence_has_itself_is_no_mark() -> None:
    assert read("Z1 and {x}", "{x}").text == "Z1 and K2"


@pytest.mark.parametrize(
    ("sentence", "kept", "translation", "expected"),
    [
        (
            "It costs \u20ac5 a head.",
            ["\u20ac"],
            "Es kostet 5 Z1 pro Kopf.",
            "Es kostet 5 \u20ac pro Kopf.",
        ),
        ("<b>5 dogs</b> bark", ["<b>", "</b>"], "Z1 5 Hunde K2 bellen", "<b>5 Hunde</b> bellen"),
        ("In the age of {x} it was.", ["{x}"], "Im Z1th war es.", "Im {x} th war es."),
        ("So {x}, yes.", ["{x}"], "Ja,Z1.", "Ja, {x}."),
        ("Say ({x}).", ["{x}"], "Sag ( Z1 ).", "Sag ({x})."),
        ("Say {x} or {y}.", ["{x}", "{y}"], "Sag Z1K2.", "Sag {x} {y}."),
        ("Say {x}.", ["{x}"], "Sag Z1, ja Z1.", "Sag {x}, ja."),
        ("Say {x}.", ["{x}"], "Sag es.", "Sag es. {x}"),
        ("Say {x} or {y}.", ["{x}", "{y}"], "Sag K2.", "Sag {y}. {x}"),
    ],
)
def test_each_string_is_there_once(
    sentence: str, kept: list[str], translation: str, expected: str
) -> None:
    assert rendered(read(sentence, *kept), translation) == expected


def test_chinese_signs_have_no_spaces_that_others_could_lose() -> None:
    reading = PLAIN.read("\u6253{x}\u5f00", [Run(1, 4, final="{x}")], read_as={})
    assert rendered(reading, "open Z1 now") == "open {x} now"


def test_a_form_that_was_written_has_its_final_string() -> None:
    run = Run(0, 1, read_as="5", forms=("5", "five"), final="#")
    reading = PLAIN.read("# dogs", [run], read_as={})
    assert reading.text == "5 dogs"
    assert rendered(reading, "es sind five Hunde") == "es sind # Hunde"


@pytest.mark.parametrize(
    ("sentence", "translation", "expected"),
    [
        ("Um 7:10 Uhr.", "At 7:10 p.m.", "At 7:10."),
        ("Um 7:10 Uhr kam er.", "At 7:10 p.m. he came.", "At 7:10 he came."),
        ("Um 7:10 Uhr", "At 7:10 PM", "At 7:10"),
        ("Um 7:10 Uhr abends.", "At 7:10 p.m.", "At 7:10 p.m."),
        ("At 7:10 p.m.", "At 7:10 p.m.", "At 7:10 p.m."),
        ("Um 7:10 Uhr", "At 7:10 amid it", "At 7:10 amid it"),
    ],
)
def test_a_half_of_the_day_is_none_of_the_models(
    sentence: str, translation: str, expected: str
) -> None:
    run = Run(3, 7, read_as="7:10", forms=("7:10",), finals=("7:10",))
    reading = PLAIN.read(sentence, [run], read_as={})
    assert rendered(reading, translation) == expected


def test_capitals_are_for_what_the_model_says() -> None:
    reading = PLAIN.read("SEE {x} NOW", [Run(4, 7, final="{x}")], read_as={})
    reading = reading._replace(text=reading.text.lower(), all_caps=True)
    assert rendered(reading, "sieh jetzt Z1 an") == "SIEH JETZT {x} AN"


@given(
    st.lists(
        st.sampled_from(["der", "Hund", ",", "Z1", "K2", "X3", "(", ")", ".", "5"]), max_size=12
    ),
    st.sampled_from([" ", ""]),
)
def test_whatever_is_written_each_string_is_there_once(words: list[str], space: str) -> None:
    reading = read("Say {x} or {y} to {z}.", "{x}", "{y}", "{z}")
    text = rendered(reading, space.join(words))
    assert [text.count(each) for each in ("{x}", "{y}", "{z}")] == [1, 1, 1]
    if space:
        assert not {"Z1", "K2", "X3"} & set(text.split())
