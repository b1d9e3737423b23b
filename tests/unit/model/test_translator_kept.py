"""What a model of random weights, which copies nothing, does with what must not change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest

from model.config import EngineConfig
from model.text_options import KeptSpan, TextOptions
from model.translator import Translator
from tests.tiny_model import build_tiny_model

TEXTS = [
    "the old man sees {name} at https://example.org/a and 10.0.0.1, then goes home.",
    "the red car: :total of %(all)s, [[x]] <<y>> ###Z### and \u6f22\u5b57, `ls -l`.",
    "my sister {n, plural, one {sees a letter} other {sees letters}} here.\n```\nx = 1\n```\n",
]
KEPT = [
    ["{name}", "https://example.org/a", "10.0.0.1"],
    [":total", "%(all)s", "[[x]]", "<<y>>", "###Z###", "\u6f22\u5b57", "`ls -l`"],
    ["{n, plural, one {", "} other {", "}}", "```\nx = 1\n```\n"],
]


@pytest.fixture(scope="module", params=["eager", "native"])
def translator(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Translator]:
    directory = build_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny")
    path = directory / "config.json"
    content = json.loads(path.read_text())
    content["placeholders"] = True
    path.write_text(json.dumps(content))
    sums = directory / "SHA256SUMS"
    names = [line.split("  ")[1] for line in sums.read_text().splitlines()]
    digests = [hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in names]
    sums.write_text("".join(f"{d}  {n}\n" for d, n in zip(digests, names, strict=True)))
    config = EngineConfig(device="cpu", num_threads=1, backend=request.param)
    with Translator.load(directory, config) as loaded:
        yield loaded


def test_each_string_is_there_once(translator: Translator) -> None:
    for translation, kept in zip(translator.translate(TEXTS), KEPT, strict=True):
        assert [translation.text.count(each) for each in kept] == [1] * len(kept)


def test_what_is_asked_to_be_kept_is(translator: Translator) -> None:
    text = "the old man sees a small dog. the old man waits."
    options = TextOptions(keep=("old man",), keep_spans=(KeptSpan(0, 17, 28),))
    [translation] = translator.translate([text], text_options=options, return_alignments=True)
    assert translation.text.count("old man") == 2
    assert translation.text.count("a small dog") == 1
    links = translation.hypotheses[0].alignments or ()
    said = {(text[slice(*link.source)], translation.text[slice(*link.target)]) for link in links}
    assert {("old man", "old man"), ("a small dog", "a small dog")} <= said


def test_links_of_a_message_are_within_the_text(translator: Translator) -> None:
    [translation] = translator.translate(TEXTS[2:], return_alignments=True)
    links = translation.hypotheses[0].alignments or ()
    assert links
    for (begin, end), (first, last) in links:
        assert 0 <= begin < end <= len(TEXTS[2])
        assert 0 <= first < last <= len(translation.text)


def test_a_span_is_one_of_a_text_in_a_stream_too(translator: Translator) -> None:
    texts, options = ["the old man.", "the red car."], TextOptions(keep_spans=(KeptSpan(1, 4, 7),))
    found = [each.text for each in translator.translate_stream(texts, text_options=options)]
    assert found == [each.text for each in translator.translate(texts, text_options=options)]
    assert "red" in found[1]
