"""Hard documents come back with all but their words as it was, whoever trained the model.

As a program it prints the documents and their translations, a line of JSON each: what
loadtests/results/documents.jsonl holds.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from model.config import EngineConfig
from model.text.markup.html_reader import read_html
from model.text.markup.markdown_reader import read_markdown
from model.text.markup.tokens import Kind
from model.text.markup.xml_reader import read_xml
from model.text_options import TextFormat, TextOptions
from model.translation import Translation
from model.translator import Translator
from tests.robustness.firefox_models import model_of_pair

PAIRS = ["en-de", "en-pt"]
READERS = {
    TextFormat.HTML: read_html,
    TextFormat.XML: read_xml,
    TextFormat.MARKDOWN: read_markdown,
}


class Document(NamedTuple):
    """One of the documents."""

    format: TextFormat
    source: str


def _documents() -> Iterator[Document]:
    path = Path(__file__).with_name("documents.yaml")
    for each in yaml.safe_load(path.read_text(encoding="utf-8")):
        yield Document(TextFormat(each["format"]), each["source"])


DOCUMENTS = list(_documents())


def _translate(pair: str, folder: Path) -> list[Translation]:
    engine = EngineConfig(device="cpu", num_threads=1)
    with Translator.load(model_of_pair(pair, folder), engine) as translator:
        return [
            translator.translate(
                [source], text_options=TextOptions(format=syntax), return_alignments=True
            )[0]
            for syntax, source in DOCUMENTS
        ]


def _markup(document: Document) -> Counter[str]:
    """How often each of its parts that is no text is there, white space around it aside."""
    return Counter(
        document.source[token.begin : token.end].strip()
        for token in READERS[document.format](document.source)
        if token.kind is not Kind.TEXT and document.source[token.begin : token.end].strip()
    )


@pytest.mark.parametrize("pair", PAIRS)
def test_all_but_words_is_as_it_was(pair: str, tmp_path: Path) -> None:
    for document, translation in zip(DOCUMENTS, _translate(pair, tmp_path), strict=True):
        translated = document._replace(source=translation.text)
        assert translated != document
        assert _markup(translated) == _markup(document)
        assert translation.text.count("\n") == document.source.count("\n")
        assert translation.alignments
        for link in translation.alignments:
            assert document.source[slice(*link.source)].strip()
            assert translation.text[slice(*link.target)].strip()


if __name__ == "__main__":
    for pair in PAIRS:
        with tempfile.TemporaryDirectory() as folder:
            for document, translation in zip(
                DOCUMENTS, _translate(pair, Path(folder)), strict=True
            ):
                record = {"pair": pair, **document._asdict(), "translation": translation.text}
                print(json.dumps(record, ensure_ascii=False))
