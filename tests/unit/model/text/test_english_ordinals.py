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
        ("1st, 22nd, 33rd, 111th, 5thing, 3 th, nth", "1st, 22nd, 33rd, 111th, 5thing, 3 th, nth"),
    ],
)
def test_endings(text: str, corrected: str) -> None:
    assert with_endings(text) == corrected
