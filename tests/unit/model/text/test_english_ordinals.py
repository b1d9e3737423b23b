"""English ordinals end as their numbers do."""

from __future__ import annotations

import pytest

from model.text.english_ordinals import with_endings


@pytest.mark.parametrize(
    ("text", "corrected"),
    [
        ("the 1th, 2th and 3th of May", "the 1st, 2nd and 3rd of May"),
        ("the 21th, 112nd, 13rd, 1,011st and 4st", "the 21st, 112th, 13th, 1,011th and 4th"),
        ("IN THE 1TH CENTURY", "IN THE 1ST CENTURY"),
        ("X2TH, a/4st, 3th.txt, AB-12ST, 1.5th", "X2TH, a/4st, 3rd.txt, AB-12ST, 1.5th"),
        ("1st, 22nd, 33rd, 111th, 5thing, 3 th, nth", "1st, 22nd, 33rd, 111th, 5thing, 3 th, nth"),
    ],
)
def test_endings(text: str, corrected: str) -> None:
    assert with_endings(text, [(0, len(text))]) == corrected


def test_what_is_kept_stays() -> None:
    assert with_endings("the 1th, code 1th", [(0, 9)]) == "the 1st, code 1th"
