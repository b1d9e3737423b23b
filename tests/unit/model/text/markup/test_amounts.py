"""Where markup parts amounts."""

from __future__ import annotations

import pytest

from model.text.markup.amounts import parts_amounts
from model.text.markup.documents import read_document
from model.text_options import TextFormat


@pytest.mark.parametrize(
    ("text", "parted"),
    [
        ("<b>$5</b>-<b>$10</b>", True),
        ("<b>$5</b> - $10", True),
        ("$5 -<i> $10</i>", True),
        ("<b>5%</b>\u2013<b>6%</b>", True),
        ("<b>$5</b> million", True),
        ("<i>It was <b>$5</b>bn</i>", True),
        ("5 Mio. <b>\u20ac</b>", True),
        ("<b>$5 million</b>-<b>$10 million</b>", True),
        ("<b>$5m</b>-<b>$10m</b>", True),
        ("<b>EUR 5</b> - <b>EUR 10</b>", True),
        ("<b>5 EUR</b>-<b>10 EUR</b>", True),
        ("<sup>\u20ac</sup>50", True),
        ("50 <b>\u20ac</b>", True),
        ("<b>5\u2030</b>-<b>6\u2030</b>", True),
        ("<b>50%</b> off", False),
        ("a <b>big</b> sum of $5", False),
        ("<b>$5-$10</b>", False),
        ("<b>$5 million</b> - a lot", False),
        ("<b>$5</b> and <b>$10</b>", False),
        ("<b>Price</b>: $5-$10", False),
        ("Price - <b>$5</b>", False),
        ("<b>5</b>-<b>6</b> days", False),
    ],
)
def test_amounts_that_an_element_parts(text: str, parted: bool) -> None:
    [block] = read_document(f"<p>{text}</p>", TextFormat.HTML).blocks
    assert parts_amounts(block) is parted
