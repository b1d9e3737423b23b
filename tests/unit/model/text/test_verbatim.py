"""Each kind of string that stays as it is, in a sentence, and what only looks like one."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from model.text.verbatim import DIGITS_HINT, SIGNS_HINT, WITH_DIGITS, WITH_SIGNS, WORDS_HINT


def found(sentence: str) -> list[str]:
    """All matches, those within another one aside, in their order."""
    spans = [
        match.span()
        for hint, pattern in ((SIGNS_HINT, WITH_SIGNS), (DIGITS_HINT, WITH_DIGITS))
        if hint.search(sentence)
        or (pattern is WITH_SIGNS and any(word in sentence for word in WORDS_HINT))
        for match in pattern.finditer(sentence)
    ]
    spans.sort(key=lambda span: (span[0], -span[1]))
    outer: list[tuple[int, int]] = []
    for span in spans:
        if not outer or span[1] > outer[-1][1]:
            outer.append(span)
    return [sentence[slice(*span)] for span in outer]


@pytest.mark.parametrize(
    ("sentence", "kept"),
    [
        (
            "See https://a.org/b_c?d=1#e, http://a.org/b(c).",
            ["https://a.org/b_c?d=1#e", "http://a.org/b(c"],
        ),
        (
            "[the manual](https://a.org/a_b(c)?d=1#e-2) [x](./y.md)",
            ["](https://a.org/a_b(c)?d=1#e-2)", "](./y.md)"],
        ),
        ("Write to anna.b+c@mail.example.org!", ["anna.b+c@mail.example.org"]),
        (
            "E<sub>kin</sub> or y<sup>2</sup>, but the word<sup>1</sup>",
            ["E<sub>kin</sub>", "y<sup>2</sup>", "<sup>1</sup>"],
        ),
        ("Press { or }, { name } or {und}", ["{ name }", "{und}"]),
        (
            "10.0.0.1, 192.168.0.0/24, 10.0.0.1:8080.",
            ["10.0.0.1", "192.168.0.0/24", "10.0.0.1:8080"],
        ),
        ("2001:db8::/32, fe80::1ff:fe23:4567:890a", ["2001:db8::/32", "fe80::1ff:fe23:4567:890a"]),
        ("Take 00:1a:2B:3c:4d:5e", ["00:1a:2B:3c:4d:5e"]),
        ("v2.0.1, Version 10.12.24, 1.2.3-rc.1, v3", ["v2.0.1", "10.12.24", "1.2.3-rc.1"]),
        (
            "0800 000 0000, 030/1234567, 555-010-0000",
            ["0800 000 0000", "030/1234567", "555-010-0000"],
        ),
        ("+49 (0)30 123456-78, (555) 010-0000", ["+49 (0)30 123456-78", "(555) 010-0000"]),
        (
            "DE89 3704 0044 0532 0130 00 or DE89370400440532013000",
            ["DE89 3704 0044 0532 0130 00", "DE89370400440532013000"],
        ),
        (
            "4111 1111 1111 1111, ISBN 978-3-16-148410-0",
            ["4111 1111 1111 1111", "978-3-16-148410-0"],
        ),
        ("AB-12345, XK-100-22/B, WH1000XM4", ["AB-12345", "XK-100-22/B", "WH1000XM4"]),
        ("2024-05-01T10:00:00Z, 2024-05-01 10:00", ["2024-05-01T10:00:00Z", "2024-05-01 10:00"]),
        (
            "2024-05-01T10:00:00.123+02:00 00:01:02,500",
            ["2024-05-01T10:00:00.123+02:00", "00:01:02,500"],
        ),
        ("H2O, C6H12O6, Ca(OH)2, H\u2082O", ["H2O", "C6H12O6", "Ca(OH)2", "H\u2082O"]),
        (
            "20 km/h, 5 m/s\xb2, 3 kWh, 9 \xb5g/m\xb3, 2 \xb0C, 5 mg/dl",
            ["km/h", "m/s\xb2", "kWh", "\xb5g/m\xb3", "\xb0C", "mg/dl"],
        ),
        (
            "C:\\a\\b.txt, \\\\host\\a\\b, ~/.ssh/config, /etc/ssh, ./a/b",
            ["C:\\a\\b.txt", "\\\\host\\a\\b", "~/.ssh/config", "/etc/ssh", "./a/b"],
        ),
        ("report-2.pdf, IMG_1.JPG, setup.tar.gz", ["report-2.pdf", "IMG_1.JPG", "setup.tar.gz"]),
        (
            "Use `ls -l` and ``print('a')``, --dry-run, max_tokens",
            ["`ls -l`", "``print('a')``", "--dry-run", "max_tokens"],
        ),
        ("%s of %(total)d in %1$s, %.2f, %5d, 100%%", ["%s", "%(total)d", "%1$s", "%.2f", "%5d"]),
        (
            "{x} { y } {0:N2} {{a}} {{ a.b }} {{{c}}} {% if x %}",
            ["{x}", "{ y }", "{0:N2}", "{{a}}", "{{ a.b }}", "{{{c}}}", "{% if x %}"],
        ),
        (
            "${x} %{x} #{x} $x $HOME $t(a.b) %PATH%",
            ["${x}", "%{x}", "#{x}", "$x", "$HOME", "$t(a.b)", "%PATH%"],
        ),
        (":total in all, :blobcat: and :+1:", [":total", ":blobcat:", ":+1:"]),
        (
            "[[name]] <<count>> ###T01### #x# @@y@@ <%= z %>",
            ["[[name]]", "<<count>>", "###T01###", "#x#", "@@y@@", "<%= z %>"],
        ),
        (
            "#FrauenkircheDresden, #\xdcber with @anna@social.example.",
            ["#FrauenkircheDresden", "#\xdcber", "@anna@social.example"],
        ),
        (
            "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea 1\ufe0f\u20e3 "
            "\u2764\ufe0f \U0001f44d\U0001f3fd",
            [
                "\U0001f469\u200d\U0001f469\u200d\U0001f467",
                "\U0001f1e9\U0001f1ea",
                "1\ufe0f\u20e3",
                "\u2764\ufe0f",
                "\U0001f44d\U0001f3fd",
            ],
        ),
        (
            'One\\nTwo\\tthree caf\\u00e9 \\x41 \\"q\\"',
            ["\\n", "\\t", "\\u00e9", "\\x41", '\\"', '\\"'],
        ),
        ("housing (12a), shaft (14), [3], [12, 14]", ["(12a)", "(14)", "[3]", "[12, 14]"]),
        (
            '<b class="x">a</b> H<sub>2</sub>O <!-- c --> &nbsp;',
            ['<b class="x">', "</b>", "<sub>2</sub>", "<!-- c -->", "&nbsp;"],
        ),
        (
            "3f2a9bc, 550e8400-e29b-41d4-a716-446655440000, 10.1000/xyz.123.",
            ["3f2a9bc", "550e8400-e29b-41d4-a716-446655440000", "10.1000/xyz.123"],
        ),
        ("Colour #00ff00, # of items", ["#00ff00", "#"]),
        (
            "\xa7 433 Abs. 1 S. 2 BGB, \xa7\xa7 433, 434 ff. HGB und "
            "\xa7 1 Satz 2 lit. a DSGVO, \xa7 5 ALLES",
            [
                "\xa7 433 Abs. 1 S. 2 BGB",
                "\xa7\xa7 433, 434 ff. HGB",
                "\xa7 1 Satz 2 lit. a DSGVO",
                "\xa7 5",
            ],
        ),
        (
            "Art. 5 Abs. 1 GG, Art. 5, Art. 12a Abs. 4 S. 2 und",
            ["Art. 5 Abs. 1 GG", "Art. 12a Abs. 4 S. 2"],
        ),
        (
            "\xa7 4.1, \xa7 1.2.3, \xa7 4 DER VERTRAG und \xa7 17b",
            ["\xa7 4.1", "\xa7 1.2.3", "\xa7 4", "\xa7 17b"],
        ),
        ("BIC COBADEFFXXX, SWIFT: DEUTDEDB, ABSOLUTE", ["COBADEFFXXX", "DEUTDEDB"]),
        ("TAYLOR SWIFT PERFORMS, SWIFT code DEUTDEDB", ["DEUTDEDB"]),
        ("per km\xb2, in kg/m\xb3, not E=mc\xb2", ["km\xb2", "kg/m\xb3"]),
        ("in 3h 45m, 2h30, 10m 30s, not 45m or 3h", ["3h 45m", "2h30", "10m 30s"]),
        (
            "1 1/2 cups, 2-1/2 or 5 3/8. On 5 1/2/2020, 3 10/4, 7 1/2-1",
            ["1 1/2", "2-1/2", "5 3/8"],
        ),
    ],
)
def test_what_is_kept(sentence: str, kept: list[str]) -> None:
    assert found(sentence) == kept


@pytest.mark.parametrize(
    "sentence",
    [
        "1st, 2nd, the 1980s, 5km, 3D, 10am, 1.000.000, 1,234.56, 12.10.2024, 24/7, 50-50, 3.5%",
        "At 10:30, on 12/24/2024: no, 100% - 20 000 and 1 234 567, d.h. z.B. e.g. a.m.",
        "F-16, COVID-19, A4, G20, CO2-Emissionen, 5 m, 3 g, 2 l, 10 V",
        "He/she and/or AT&T, Q&A, R&D, :) and :D, 3:1, 16:9.",
        "The man --who was tall-- left.", "Alle Lehrer_innen, bitte!", "Wie geht`s? Gibt`s was?",
        "We're #1, or is it 19 $ a month?", "Press Ctrl+C - or not -- now.", "It is /really/ good.",
        "Note: this is so. Bitte:ja", "a < b and c > d", "I <3 you",
    ],
)  # fmt: skip
def test_what_is_not(sentence: str) -> None:
    assert found(sentence) == []


PARTS = [
    *"aAfgxvZ01259.:/-_@#<>{}%$`~\\&*+()[]=,' ", "\xb5", "\u03a9", "\xb0", "\u2082", "\u20e3",
    "\xa0", "\U0001f600", "www", "com", "txt", "7z", "://", "localhost", "ersion ", "kg", "mol",
    "kWh", "UTC", "2024-01-02", "10:30", "DE89", "0800", "978", "1234", "abc123", "\\n", "sub>",
    "--a",
]  # fmt: skip


@settings(max_examples=500)
@given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join))
@example("978 3 16 148410 0")
@example("0800 - 1234")
@example("a@b._c")
@example("12AB-CD-EF")
@example("ISO-9001")
@example("UTC)(\u2082")
@example(":-1:")
@example("{ a.b , number , #,##0.00 }")
@example("a {{b c}}")
@example("C:\\a")
@example("\\ab{")
@example("a\\nb")
@example("\\\\a\\b")
def test_without_a_hint_there_is_no_match(text: str) -> None:
    if not SIGNS_HINT.search(text) and "localhost" not in text:
        assert not WITH_SIGNS.search(text)
    if not DIGITS_HINT.search(text):
        assert not WITH_DIGITS.search(text)


@pytest.mark.parametrize("pattern", [WITH_SIGNS, WITH_DIGITS])
@pytest.mark.parametrize(
    "unit",
    ["a", "1", "a1", "1.", "0 1", "A1-", "a:", "1:", "::", "f:", "(1", "[1,", "](", "](a(", "<a ",
     "#a", "##", "@@a", "%(", "{a", "{{", "$t(", ":a", "`a", "\\a", "\\\\a", "http://a(", "a.b",
     "a@b", "../", "+1 ", "0800 ", "H2", "(CH", "DE89 ", "1234 ", "<!--", "<sub>", "12-34-",
     "1 km/", "\U0001f469\u200d", "--a-", "a_", "x.txt", "www."],
)  # fmt: skip
def test_work_grows_with_the_text(pattern: re.Pattern[str], unit: str) -> None:
    # If it grew with the square, this would take minutes.
    assert sum(1 for _ in pattern.finditer((unit * 200_000)[:200_000])) >= 0
