"""Subtitles: times stay, sentences run over lines and cues."""

from __future__ import annotations

import re

import pytest

from service.documents.document import DocumentOptions
from service.documents.errors import DamagedDocumentError
from service.documents.formats import find_format
from tests.document_words import in_reverse, rewritten

SRT = """1
00:00:01,000 --> 00:00:03,000
The old man went down
to the river because

2
00:00:03,100 --> 00:00:05,000 X1:40 X2:600
it was hot. He said:

3
00:00:05,200 --> 00:00:07,000
<i>Where is the bread?</i>

4
00:00:09,000 --> 00:00:11,000
- In the house.
- And the water?

5
00:00:12,000 --> 00:00:13,000
{\\an8}♪ one <b>two</b> three ♪
"""


def test_sentences_run_over_cues() -> None:
    document = find_format("a.srt").read(SRT.encode(), DocumentOptions(source="en"))
    assert [unit.text for unit in document.units] == [
        "The old man went down to the river because it was hot.",
        "He said:",
        "Where is the bread?",
        "In the house.",
        "And the water?",
        '♪ one <g id="0">two</g> three ♪',
    ]


def test_times_and_tags_stay() -> None:
    found = rewritten("a.srt", SRT.encode(), in_reverse).decode()
    times = re.compile("^.*-->.*$", re.MULTILINE)
    assert times.findall(found) == times.findall(SRT)
    cues = [cue.split("\n", 2)[2] for cue in found.strip().split("\n\n")]
    assert cues[0].count("\n") == 1
    assert " ".join(cues[:2]).replace("\n", " ") == (
        "hot was it because river the to down went man old The. said He:"
    )
    assert cues[1].startswith(("old The.", "The.", "man old The."))
    assert cues[2] == "<i>bread the is Where?</i>"
    assert cues[3] == "- house the In.\n- water the And?"
    assert cues[4] == "{\\an8}♪ three <b>two</b> one ♪"


VTT = """WEBVTT - A title

STYLE
::cue { color: red }

NOTE a note stays

intro
00:01.000 --> 00:03.000 align:start position:10%
<v Ann>Bread &amp; <c.red>water</c></v>

00:03.000 --> 00:04.000
one <00:03.500>two
"""


def test_what_else_is_in_web_subtitles_stays() -> None:
    found = rewritten("a.vtt", VTT.replace("\n", "\r\n").encode()).decode()
    expected = (
        VTT.replace("Bread &amp; <c.red>water", "BREAD &amp; <c.red>WATER")
        .replace("one <00:03.500>two", "ONE <00:03.500>TWO").replace("\n", "\r\n")
    )  # fmt: skip
    assert found == expected


def test_subtitles_without_blank_lines_or_texts() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\none\n2\n00:00:02,000 --> 00:00:03,000\n\n3\n" \
           "00:00:04,000 --> 00:00:05,000\nTwo"  # fmt: skip
    assert rewritten("a.srt", text.encode()).decode() == text.replace("one", "ONE").replace(
        "Two", "TWO"
    )


def test_what_has_no_times_is_refused() -> None:
    with pytest.raises(DamagedDocumentError, match="must have subtitles with times"):
        rewritten("a.srt", b"text")


def test_a_translation_with_fewer_words_than_cues_leaves_no_cue_out() -> None:
    found = rewritten("a.srt", SRT.encode(), lambda _: ("Ja", [])).decode()
    assert len(re.findall("-->", found)) == 5
    assert "Ja" in found.split("\n\n")[0]
