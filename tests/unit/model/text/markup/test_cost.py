"""What it costs to read a document and to write its translation: no more than its length."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType

import pytest

from model.errors import InvalidRequestError
from model.text.markup.documents import read_document
from model.text_options import TextFormat
from tests.unit.model.text.markup.word_translators import identity

html_document = partial(read_document, syntax=TextFormat.HTML)
xml_document = partial(read_document, syntax=TextFormat.XML)

HARD = [
    "<a ", "&", "<b>", "</b>", "<b>x", "<b>x</b>", "<b>x</b> ", "<i>x<b>y</i>z</b>", "<!--", "<!",
    "<?", "<![CDATA[", "<![CDATA[>", "<?>", "<?x ?>", "&am", "&#", "&lt;x", "<code>", "<code>x",
    "x<code>y</code>", "<pre>", "<p translate=no>", "<p>x", "x<br>", "x<!--y-->", "<script>",
    "<svg>", "</", "x\n  ", "x&nbsp;", "x <img> ", "<div><b>x", "x</b><b>", "<title>", "<x/>y ",
    "\r\n", '("', "東",
]  # fmt: skip
NESTED = ["<b>x ", "<b>", "<i> y<b>"]


def _calls(work: Callable[[], object]) -> int:
    """Function calls of Python's and of C's."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def _read_and_write(source: str) -> None:
    identity(html_document(source))


@pytest.mark.parametrize("unit", HARD)
def test_work_grows_with_the_length(unit: str) -> None:
    short, long = (_calls(partial(_read_and_write, unit * times)) for times in (150, 300))
    assert long < 2.2 * short + 200


@pytest.mark.parametrize("unit", NESTED)
def test_work_grows_with_the_length_of_what_is_nested(unit: str) -> None:
    ends = "</b>" if "<i>" not in unit else "</b></i>"
    short, long = (
        _calls(partial(_read_and_write, unit * times + ends * times)) for times in (150, 300)
    )
    assert long < 2.2 * short + 200


@pytest.mark.parametrize("unit", HARD)
@pytest.mark.timeout(60)
def test_long_runs_are_read(unit: str) -> None:
    source = unit * (30_000 // len(unit))
    html_document(source)


@pytest.mark.parametrize("unit", ["<a ", "&", "<a>", "</a>", "<!--", "<![CDATA[", "x<a/>", "&amp;"])
@pytest.mark.timeout(60)
def test_long_runs_of_xml_is_read_or_refused(unit: str) -> None:
    with suppress(InvalidRequestError):
        xml_document(unit * (30_000 // len(unit)))
