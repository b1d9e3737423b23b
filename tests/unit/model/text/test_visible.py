"""A text as it is seen, and where each of its characters comes from."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text.visible import changes, may_change, origins, visible

CYRILLIC_A, CYRILLIC_O, CYRILLIC_ES = "\u0430", "\u043e", "\u0441"
PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
WOMAN = "\U0001f469\u200d\U0001f52c"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain", "plain"),
        ("be\u00adstä\u00adtigen\u200b Sie\u2060 das.\ufeff", "bestätigen Sie das."),
        (unicodedata.normalize("NFD", "Bäcker öffnet, três"), "Bäcker öffnet, três"),
        (unicodedata.normalize("NFD", "한국어 ガ"), "한국어 ガ"),
        (f"p{CYRILLIC_A}ssw{CYRILLIC_O}rd", "password"),
        (f"{CYRILLIC_ES}at", "cat"),
        # A Latin letter in a Cyrillic word, and a Cyrillic word of look-alikes.
        ("мocт", "мост"),
        ("сор", "сор"),
        ("\u03b1-Wert, кВт and λx", "\u03b1-Wert, кВт and λx"),
        ("the n\u200cew car", "the new car"),
        # What joins or parts letters that are seen otherwise then.
        (PERSIAN, PERSIAN),
        ("\u0e01\u200b\u0e02", "\u0e01\u200b\u0e02"),
        (f"{WOMAN} works", f"{WOMAN} works"),
        ("q\u0301", "q\u0301"),
        ("Bread,milk!Eggs", "Bread, milk! Eggs"),
        ("a,b 3,4 1,000 x;", "a,b 3,4 1,000 x;"),
    ],
)  # fmt: skip
def test_a_text_is_read_as_it_is_seen(text: str, seen: str) -> None:
    assert visible(text) == seen


@given(
    st.text(
        st.one_of(
            st.sampled_from("ab ,\u00ad\u0301\u0323\u200b\u200c\u1100\u1161аоЖ1"), st.characters()
        )
    )
)
def test_every_character_has_an_origin(text: str) -> None:
    seen, places = visible(text), origins(text)
    assert len(places) == len(seen)
    assert all(0 <= begin <= end <= len(text) for begin, end in places)
    assert places == sorted(places)
    for sign, (begin, end) in zip(seen, places, strict=True):
        unchanged = not any(left < end and begin < right for left, right, _ in changes(text))
        assert not unchanged or text[begin:end] == sign
    assert unicodedata.is_normalized("NFC", seen) or not unicodedata.is_normalized("NFC", text)


@pytest.mark.parametrize(
    ("language", "text", "read"),
    [
        ("de", "Bitte bei Hrn. Lenz, Fa. Kern u. Co.", "Bitte bei Herrn Lenz, Firma Kern und Co."),
        ("de", "z. B. Brot, z.B. Käse usw.", "zum Beispiel Brot, zum Beispiel Käse und so weiter."),
        (
            "de",
            "d. h. in der Schulstr. 5 (vgl. Nr. 5)",
            "das heißt in der Schulstraße 5 (vergleiche Nummer 5)",
        ),
        ("de", "Am Fr. um acht, Nr. eins, am S. vorbei", "Am Fr. um acht, Nr. eins, am S. vorbei"),
        ("de", "Das Bzw. Co.usw. bleibt", "Das Bzw. Co.usw. bleibt"),
        ("en", "fruit, e.g. apples, vs. bread", "fruit, for example apples, versus bread"),
        ("en", "z. B. Hrn. Lenz", "z. B. Hrn. Lenz"),
        (
            "de",
            "4,2 Mrd. \u20ac, nach 3 Mio.EUR, 5 Mio. Leute",
            "4,2 Milliarden Euro, nach 3 Millionen Euro, 5 Millionen Leute",
        ),
        (
            "de",
            "Fr., 7. Okt., Fr. Lenz am 3. Jan. und im Dez. oder Sept. 2020",
            "Freitag, 7. Oktober, Frau Lenz am 3. Januar und im Dez. oder September 2020",
        ),
        (
            "en",
            "Sat., 5 Dec. 2020. He sat. The Sun. No. AB-12, no. A12, no. Oct. 3",
            "Saturday, 5 December 2020. He sat. The Sun. No. AB-12, no. A12, no. October 3",
        ),
        ("en", "180 lbs., \xbd tsp. ext. 4", "180 pounds, \xbd teaspoons extension 4"),
        ("de", "45 Min. um 800, Min. 3", "45 Minuten um 800, Min. 3"),
        ("en", "5 min. of it, min. 5, Nos. 1-3", "5 minutes of it, min. 5, numbers 1-3"),
        ("en", "1 hr. or 21 min., 1.1 lb., 1 mi.", "1 hour or 21 minutes, 1.1 pounds, 1 mile."),
        ("de", "1 Std., 11 Sek., 1 Mio. Euro", "1 Stunde, 11 Sekunden, 1 Million Euro"),
        ("en", "No.", "No."),
        ("en", "I said No. No. 5", "I said No. number 5"),
        ("en", "Order no. ", "Order number "),  # before a number that is kept
        ("en", "The part no. AB-1. I said no. ", "The part number AB-1. I said no. "),
        ("de", "Siehe S.", "Siehe S."),
        ("de", "siehe S. ", "siehe Seite "),
        ("en", "Jan. Oct. came", "Jan. Oct. came"),
        ("en", "on Mon., Oct. 7 or Tue., we", "on Monday, October 7 or Tue., we"),
        ("de", "in Ferguson, Mo., am Fr., den 7.", "in Ferguson, Mo., am Freitag, den 7."),
        ("en", " Oct. and", " October and"),  # behind a number that is kept
    ],
)  # fmt: skip
def test_abbreviations_are_read_in_full(language: str, text: str, read: str) -> None:
    assert visible(text, language) == read
    assert visible(text) == text
    places = origins(text, language)
    assert len(places) == len(read)
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("I dont know, but im sure.", "I don't know, but I'm sure."),
        (
            "In World War II and WWI, not WW3",
            "In the Second World War and the First World War, not WW3",
        ),
        (
            "World War II began. WWI ended.",
            "The Second World War began. The First World War ended.",
        ),
        ("A WWII bomb, the World War I museum", "A WWII bomb, the World War I museum"),
        ("Whats up? THEYRE HERE", "What's up? THEY'RE HERE"),
        ("its well, were ill, lets go", "its well, were ill, lets go"),
        ("x_dont dont_y don't Im Westen IM", "x_dont dont_y don't Im Westen IM"),
    ],
)
def test_english_is_read_with_its_apostrophes(text: str, read: str) -> None:
    assert visible(text, "en") == read
    assert visible(text, "de") == text


@given(
    st.lists(
        st.lists(
            st.sampled_from(
                ["dont", "im ", "vs.", "No.", "e.", "g.", " ", "u.", "a. ", "A", "Fr. ", "str.",
                 "Haupt", "Nr.", "5", ".", ",", "ab", "\xad", "e\u0301", "\u0430b", "'"]
            ),
            max_size=6,
        ).map("".join),
        max_size=4,
    ),
    st.sampled_from(("en", "de", "pt")),
)  # fmt: skip
def test_lines_are_changed_where_they_may_change(lines: list[str], language: str) -> None:
    if any(changes(line, language) for line in lines):
        assert may_change("\n".join(lines), language)
    for line in lines:
        seen = line
        for begin, end, change in reversed(changes(line, language)):
            seen = seen[:begin] + change + seen[end:]
        assert visible(line, language) == seen
