"""Where sentences end."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from model.text.abbreviations import corrections_of
from model.text.sentences import (
    _sentences,
    any_may_have_more,
    may_have_more,
    split_sentences,
    split_short,
)

ENGLISH = [
    "Dr. Smith went to Washington D.C. on Jan. 5th.| He paid $3.50 for it, e.g. for a latte.",
    '"Are you sure?" she asked.| "Yes!" he said.| Then he left.',
    "The U.S. is big.| It has 331.9 million people.| Wait... what?| Yes.",
    "See https://example.com/a.b?c=d.| Then write to a.b@example.org.| Thanks!",
    "At 5 p.m. we met Mr. and Mrs. Jones.| J. R. R. Tolkien was there, too.",
    "I saw Ms. Smith.| She weighs approx. 60 kg.| See vol. 2 of it.",
    "He said no.| I left.| She told me.| Tom knew.",
    "Look at No. 5.| No. 6 is at p. 7.",
    "Use System.Out and Node.JS!| They work.",
    "hello.| how are you.",
    "Version 2.0.1 is out.",
]
GERMAN = [
    "Herr Dr. Müller kommt am 3. Oktober um 5 Uhr, z. B. mit dem Zug.| Das ist z.B. schön.",
    "Im 19. Jahrhundert war das so.| Der 2. Weltkrieg endete 1945.| Danach kam Frieden.",
    "Er sagte: „Komm her!“| Dann ging er.| Sie liebt mich.| Tom auch.",
    "Vgl. Abb. 3, Tab. 4 und Kap. Zwei.| Ende.",
]


@pytest.mark.parametrize(
    ("language", "marked"),
    [("en", marked) for marked in ENGLISH] + [("de", marked) for marked in GERMAN],
)
def test_sentences_of_prose(language: str, marked: str) -> None:
    expected = marked.split("|")
    found = list(split_sentences("".join(expected), language))
    assert [sentence.strip() for sentence in found] == [sentence.strip() for sentence in expected]


def test_white_space_stays_with_the_sentence_before() -> None:
    assert list(split_sentences("One man.  Two men. ", "en")) == ["One man.  ", "Two men. "]


def test_scripts_without_spaces_are_split_at_their_own_stops() -> None:
    assert list(split_sentences("你好。我很好。「谢谢。」", "zh")) == [
        "你好。",
        "我很好。",
        "「谢谢。」",
    ]


@pytest.mark.parametrize("language", ["de", "DE", "de-AT", "de_CH"])
def test_regions_do_not_matter(language: str) -> None:
    assert len(list(split_sentences("Im 20. Jahrhundert. Gut.", language))) == 2


def test_an_unknown_language_has_common_rules() -> None:
    assert list(split_sentences("Abc def. Ghi jkl!", "xx")) == ["Abc def. ", "Ghi jkl!"]


def test_a_short_quotation_stays_whole_and_a_long_one_is_split() -> None:
    short = "“I am tired. Leave me alone,” he said. "
    assert list(split_sentences(short + "He left.", "en")) == [short, "He left."]
    sentences = [
        "“We are happy about the way in which the whole team has played all season long. ",
        "It was a hard game against a strong opponent, and all of us had to run a lot. ",
        "Everybody played well until the very end of it,” the coach said. ",
        "They rested.",
    ]
    assert list(split_sentences("".join(sentences), "en")) == sentences


def test_a_sentence_longer_than_what_is_looked_at_at_once() -> None:
    word = "ab" * 6000
    assert list(split_sentences(f"{word}. Hello there.", "en")) == [f"{word}. ", "Hello there."]


def test_many_sentences_are_the_same_as_few() -> None:
    sentences = [
        f"This is number {number} of them, e.g. for Dr. Dolittle. " for number in range(500)
    ]
    assert list(split_sentences("".join(sentences), "en")) == sentences


LINES = st.text(
    st.one_of(
        st.sampled_from("....!?…。\"'()«»„“” ,:;0123AaBbme"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\n\v\f\r\x85\u2028\u2029"),
    )
)


@given(LINES, st.sampled_from(["en", "de", "zh", "ar"]))
def test_sentences_are_the_line(line: str, language: str) -> None:
    sentences = list(split_sentences(line, language))
    assert "".join(sentences) == line
    assert all(sentences)


@pytest.mark.parametrize(
    "space", ["\u00a0", "\u2003", "\u3000", " \u202f", "\u3000\u00a0", ". \u00a0"]
)
@pytest.mark.parametrize("language", ["en", "de", "fr", "kk", "zh", "xx"])
def test_wide_space_between_a_capital_and_its_stop(space: str, language: str) -> None:
    line = f"Take plan B{space}. Tom left. {'It was late. ' * 30}I{space}."
    sentences = list(split_sentences(line, language))
    assert "".join(sentences) == line
    assert len(sentences) > 30


class PanicException(BaseException):
    """As pyo3 names what it raises when Rust code fails."""


@pytest.mark.parametrize("times", [1, 40])
def test_what_cannot_be_split_is_one_sentence(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    def fail(language: str, text: str) -> list[str]:
        raise PanicException(text)

    line = "It is! Yes? " * times
    monkeypatch.setattr("sentencex.segment", fail)
    assert list(split_sentences(line, "en")) == [line]


def test_an_interruption_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(language: str, text: str) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr("sentencex.segment", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(split_sentences("It is! Yes?", "en"))


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("de", "Bitte bei Hrn. Lenz oder Fr. Vogt, Fa. Kern u. Co., Schulstr. 5, 2. OG, melden."),
        ("de", "Rund 5 Mio. Euro, d. h. 12 Euro, z. B. für Schulen (vgl. Nr. 5, S. 12 ff.)."),
        ("de", "Er wohnt in der Goethestr. Nummer 4, z. Hd. Herrn Maier, Dipl.-Ing. Weber."),
        ("en", "Open Mon. Tue. and Fri. at 5 Main St., Apt. 4, Dept. Sales, Baker Bros. Inc."),
        ("en", "A man of 180 lbs. and 6 ft. tall ran, and got part no. AB-1234/5."),
        ("pt", "O Sr. Silva, da Cia. Azul Ltda. Brasil, Av. Sul, n. 5, R. Augusta, séc. XX."),
        ("fr", "M. Dupont et Mme. Durand, av. Foch, bd. Hugo, n. 5."),
    ],
)  # fmt: skip
def test_abbreviations_end_no_sentence(language: str, line: str) -> None:
    assert split_sentences(line, language) == [line]


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("de", "Er wohnt in der Schulstraße. Sie wohnt am Platz. Das Museum ist zu."),
        ("pt", "Ele mora na rua. Ela saiu. O museu abre."),
        ("en", "It was fun. He left the department. We met on Monday."),
        ("en", "I said no. A380 pilots left. The part no. A380 stayed."),
        ("de", "Wir haben 2 Mio. Er hat 3 Mio. Wer hat mehr als 4 Mio. Menschen?"),
        ("de", "Am 3. Nov. Hast du Zeit? Oder am 4. Dez. 2020?"),
    ],
)
def test_a_sentence_ends_behind_a_word(language: str, line: str) -> None:
    assert len(list(split_sentences(line, language))) == 3


def test_a_line_is_cut_the_same_way_each_time() -> None:
    line = "Das war für mich. Dann ging er."
    assert [split_sentences(line, "de") for _ in range(3)] == [[line[:18], line[18:]]] * 3


LINES = st.lists(
    st.sampled_from([*"aZ1 .!?;:()\"'“”»[]-,*…éЯ字。।‼）", "\u0301", "\u3000", "\xa0", "Dr",
                     "me. A"])
    | st.characters(categories=["P", "S", "Z"], exclude_characters="\u2028\u2029"),
    max_size=12,
).map("".join)  # fmt: skip
LANGUAGES = st.sampled_from(["en", "de", "pt", "el", "hy", "hi", "my", "ja", "ru", "ar", "xx"])


@given(LINES, LANGUAGES)
@settings(max_examples=400, deadline=None)
@example("\u2026 \u2026*", "sv")
def test_what_may_not_have_more_sentences_is_one(line: str, language: str) -> None:
    if line and not may_have_more(line, language):
        assert list(split_short(line, language)) == [line]


@given(LINES, LANGUAGES)
@settings(deadline=None)
@example("He likes me. And us.", "en")
def test_a_short_line_is_split_as_a_long_one(line: str, language: str) -> None:
    long = list(_sentences(line, language, corrections_of(language)))
    assert list(split_sentences(line, language)) == long
    if line:
        assert list(split_short(line, language)) == long


@given(st.lists(LINES, max_size=4), LANGUAGES)
@settings(deadline=None)
def test_where_no_line_may_have_more_none_has(lines: list[str], language: str) -> None:
    if not any_may_have_more("\n".join(lines)):
        assert not any(may_have_more(line, language) for line in lines)
