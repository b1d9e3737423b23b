"""What is kept within a sentence, and what a translation does with it."""

from pathlib import Path
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.checkpoints.embedded import EMBEDDED
from model.text.protection import _READ_AS, Protection
from model.text.runs import Reading, Run, RunReader
from model.text.tokenizer import Tokenizer
from model.text.vocabulary import PLACEHOLDERS

A, B, C = PLACEHOLDERS[:3]
TOKENIZER = Tokenizer.from_file(Path(EMBEDDED["en-de"]) / "tokenizer.model")
PROTECTION = Protection(TOKENIZER)
READER = RunReader(TOKENIZER, placeholders=True)


def read(sentence: str) -> Reading:
    runs = [Run(*bound, final=sentence[slice(*bound)]) for bound in PROTECTION.bounds(sentence)]
    return READER.read(sentence, READER.chosen(runs), read_as=PROTECTION.read_as(sentence))


def spans(reading: Reading) -> list[str]:
    return [run.final or "" for run in reading.runs]


def rendered(reading: Reading, translation: str) -> str:
    return READER.rendered(reading, TOKENIZER.tokenize(translation), ()).text


def kept(sentence: str) -> list[str]:
    reading = read(sentence)
    assert rendered(reading, reading.text) == sentence
    return spans(reading)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("See https://example.com/a_b?c=1#d.", ["https://example.com/a_b?c=1#d"]),
        ("(see www.example.com)", ["www.example.com"]),
        ("Is it at example.org/faq?", ["example.org/faq"]),
        ("Write to anna.b+c@mail.example.org!", ["anna.b+c@mail.example.org"]),
        ("Thanks, @anna, for #summer", ["@anna", "#summer"]),
        ("This is <b>very</b> good.", ["<b>", "</b>"]),
        (
            "Pay {sum, number, ::currency/EUR} on {day,date}",
            ["{sum, number, ::currency/EUR}", "{day,date}"],
        ),
        ('A <a href="x>y" class=z>link</a>', ['<a href="x>y" class=z>', "</a>"]),
        ("One<br/>two &amp; three", ["<br/>", "&amp;"]),
        ("Hello {name}, {{count}} new in ${folder}", ["{name}", "{{count}}", "${folder}"]),
        ("%s of %(total)d in %1$s, %.2f more", ["%s", "%(total)d", "%1$s", "%.2f"]),
        ("Use `git commit -m` with --dry-run", ["`git commit -m`", "--dry-run"]),
        ("Use ``print('a')`` and --level=3", ["``print('a')``", "--level=3"]),
        ("\u201chttps://a.org/b\u201d \u201ewww.a.org\u201c", ["https://a.org/b", "www.a.org"]),
        ("[Docs](https://a.org/b)-page", ["[", "](https://a.org/b)"]),
        ("At localhost:8080/docs, and heise.de", ["localhost:8080/docs", "heise.de"]),
        ("Ask @user@mastodon.social now", ["@user@mastodon.social"]),
        ("Hi {{ user.name }}, {% if x %} { x }", ["{{ user.name }}", "{% if x %} { x }"]),
        (
            "{n, plural, one {# item} other {# items}} left",
            ["{", "{#", "}", "{#", "}}"],
        ),
        ("%s%s and %dMB, %d%% of %{name}", ["%s%s", "%d", "%d%%", "%{name}"]),
        ("The \\textbf{first} one\\nOther", ["\\textbf{", "}", "\\n"]),
        ("See setup.tar.gz and IMG_1234.JPG", ["setup.tar.gz", "IMG_1234.JPG"]),
        ("It is #00ff00 &frac12;", ["#00ff00 &frac12;"]),
        ("The <input name=x disabled> field", ["<input name=x disabled>"]),
        ("Enter <your name here> now", ["<", ">"]),
        ("Open C:\\Users\\anna\\notes.txt now", ["C:\\Users\\anna\\notes.txt"]),
        ("It is in /etc/ssh and ~/.ssh/config", ["/etc/ssh", "~/.ssh/config"]),
        ("Read report-2.pdf first", ["report-2.pdf"]),
        ("Set max_tokens higher", ["max_tokens"]),
        ("**Note:** closed", ["**", "**"]),
        ("I love \u2764\ufe0f pizza \U0001f355 so much", ["\u2764\ufe0f", "\U0001f355"]),
        ("It is 20 °C, or 19.99 €", ["°C", "€"]),
        ("Mr. Łukasz met Ngọc Ánh", ["Łukasz", "Ngọc Ánh"]),
        ("They say привет мир to you", ["привет мир"]),
        (f"a {B} b", [B]),
    ],
)
def test_what_a_sentence_keeps(sentence: str, expected: list[str]) -> None:
    assert kept(sentence) == expected


@pytest.mark.parametrize(
    "sentence",
    [
        "He/she and/or 12/24/2024, at 90 km.", "100% sure, 5 % less, AT&T, Q&A, R&D.",
        "The U.S. is big.Then more.", "Press Ctrl+C - or not -- now.", "A naive, déjà vu - no?",
        "We're #1 (or 1.5 or 2).", "Is 19 $ / month ok?",
        "\u201cYes\u201d, he said; \u201cno\u201d\u2026", "",
        "The man --who was tall-- left.", "Alle Lehrer_innen und Lehrer*innen, bitte!",
        "Ein-/Aus-/Umschalten der Ton-/Bild-Daten", "It is /really/ good.", "So \xe4 here",
        "Use the `foo' option, or `bar', ``so''.", "Wie geht`s? Gibt`s was?", "DIE STRA\u1e9eE",
    ],
)  # fmt: skip
def test_what_is_translated_as_it_is(sentence: str) -> None:
    assert read(sentence) == Reading(sentence, sentence)


@pytest.mark.parametrize(
    ("sentence", "common"),
    [
        ("don\u2018t say \u00abno\u00bb \u2039x\u203a", "don't say \"no\" 'x'"),
        ("E\u2011Mail Trans\u00adlation", "E-Mail Translation"),
    ],
)
def test_rare_quotation_marks_and_hyphens_are_read_as_common_ones(
    sentence: str, common: str
) -> None:
    assert read(sentence) == Reading(common, sentence)
    assert read(f"{sentence} {{x}}").text == f"{common} {A}"


@pytest.mark.parametrize(
    ("sentence", "translation", "expected"),
    [
        ("It costs \u20ac5 a head.", f"Es kostet 5 {A} pro Kopf.", "Es kostet 5 \u20ac pro Kopf."),
        ("Es kostet 5\u20ac.", f"It costs {A} 5.", "It costs \u20ac 5."),
        ("<b>5 dogs</b> bark", f"{A} 5 Hunde {B} bellen", "<b>5 Hunde</b> bellen"),
        ("He said <b>nothing.</b>", f"Er sagte {A} nichts. {B}", "Er sagte <b>nichts.</b>"),
        ("See ({x}).", f"Siehe ( {A} ).", "Siehe ({x})."),
        ("Is it 20\u00b0C?", f"Sind es 20 {A} C?", "Sind es 20\u00b0C?"),
    ],
)
def test_what_was_joined_stays_joined_to_its_kind(
    sentence: str, translation: str, expected: str
) -> None:
    assert rendered(read(sentence), translation) == expected


def test_a_word_beside_a_placeholder_stands_alone() -> None:
    reading = read("This is <b>very</b> good, {name}s.")
    assert reading.text == f"This is {A} very {B} good, {C} s."
    assert (
        rendered(reading, f"Das ist {A} sehr {B} gut, {C} s.")
        == "Das ist <b>sehr</b> gut, {name}s."
    )
    assert rendered(reading, f"{C} s, {A} sehr {B}, gut") == "{name}s, <b>sehr</b>, gut"


def test_neighbours_share_a_placeholder() -> None:
    reading = read("A <b><i>small</i></b> {first} {last} here")
    assert spans(reading) == ["<b><i>", "</i></b> {first} {last}"]


@pytest.mark.parametrize(
    ("translation", "expected"),
    [
        (f"Schreib {A} oder {B}.", "Schreib a@b.de oder {x}."),
        (f"{B} oder {A}", "{x} oder a@b.de"),
        (f"Schreib {A}, {A} oder {B}, {B}.", "Schreib a@b.de, oder {x},."),
        (f"Schreib {A}.", "Schreib a@b.de. {x}"),
        ("Schreib.", "Schreib. a@b.de {x}"),
        (f"Schreib {A} {C} oder {B}", "Schreib a@b.de oder {x}"),
        (f"{A}{B}", "a@b.de {x}"),
        (f"{C} Hallo {A} {B}", "Hallo a@b.de {x}"),
        ("", "a@b.de {x}"),
    ],
)
def test_everything_is_there_once_whatever_a_model_writes(translation: str, expected: str) -> None:
    reading = read("Write a@b.de or {x}.")
    assert reading.text == f"Write {A} or {B}."
    assert rendered(reading, translation) == expected


def test_placeholders_that_stand_for_nothing_are_left_out() -> None:
    assert rendered(read("One dog."), f"Ein {A} Hund {B}.") == "Ein Hund."


def test_the_longest_are_kept_where_there_are_too_many() -> None:
    names = [f"{{name{number}}}" for number in range(len(READER.marks))]
    many = " and ".join(["= x"] * 6 + names)
    reading = read(many)
    assert spans(reading) == names
    assert reading.text.startswith(f"= x and = x and = x and = x and = x and = x and {A}")
    assert rendered(reading, reading.text) == many


def test_beyond_the_placeholders_a_letter_and_a_digit_are_read() -> None:
    names = [f"{{name{number}}}" for number in range(13)]
    reading = read(" and ".join(names))
    assert reading.text == " and ".join([*PLACEHOLDERS, "Z1", "K2"])
    assert "Z1" not in read(" and ".join([*names, "Z1"])).text.removesuffix("Z1")


def test_placeholders_of_a_text_are_kept() -> None:
    reading = read(f"{C} and {{x}} and {B}, end")
    assert spans(reading) == [C, "{x}", B]
    assert reading.text == f"{A} and {PLACEHOLDERS[3]} and {PLACEHOLDERS[4]}, end"
    assert rendered(reading, reading.text) == f"{C} and {{x}} and {B}, end"


@given(
    st.lists(
        st.one_of(
            st.text(max_size=8),
            st.sampled_from(
                ["the dog", " ", "<b>", "</b>", "{x}", "https://a.b/c", "a@b.de", "%s", ".", A, B,
                 "犬", "Ł", "😀", "`", "\\", "C:\\", "&lt;", "--x", "://", "<a b='", "é", "\u0301"]
            ),
        ),
        max_size=30,
    ).map("".join)
)  # fmt: skip
@example("<a" + " b" * 200)
@example("½€½ and 5€5, x€x, ²€²")
def test_any_sentence_comes_back(sentence: str) -> None:
    reading = read(sentence)
    filled = rendered(reading, reading.text)
    for run in reading.runs:
        assert sentence[run.begin : run.end] == run.final
    assert _plain(filled) == _plain(sentence)
    assert all(span.strip() in filled for span in spans(reading))


def _plain(text: str) -> str:
    """As the vocabulary reads it, without white space."""
    read_as = text.translate({ord(sign): said for sign, said in _READ_AS.items()})
    return "".join(TOKENIZER.detokenize(TOKENIZER.tokenize(read_as)).split())


class _WithoutCapitals:
    """A vocabulary of `às` and of single letters, which lacks accented capitals."""

    fallback_ids = frozenset({0})

    def tokenize(self, text: str) -> list[int]:
        if text == "às":
            return [1]
        return [0 if letter in "ÀÂ" else 2 for letter in text]


def test_a_common_word_is_not_foreign_for_its_capital() -> None:
    protection = Protection(cast(Tokenizer, _WithoutCapitals()))
    sentence = "Às onze, Ângela"
    assert [sentence[slice(*bound)] for bound in protection.bounds(sentence)] == ["Ângela"]
    assert sentence[:8].translate(protection.read_as(sentence)) == "às onze,"
