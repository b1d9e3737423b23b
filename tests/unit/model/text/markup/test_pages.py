"""Pages in the shapes of real ones keep their tree, whatever the translations are."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from turbohtml import Element, Node, Text, parse

from model.text.markup.block import Document
from model.text.markup.documents import read_document
from model.text_options import TextFormat
from tests.unit.model.text.markup.pages import PAGES
from tests.unit.model.text.markup.word_translators import identity, rendered, shuffled


def test_the_pages_are_different() -> None:
    assert len(set(PAGES)) == 100


def _tree(page: str) -> Counter[tuple[str, ...]]:
    """How often each path of elements, with their attributes, is in what a browser makes of it."""
    paths: Counter[tuple[str, ...]] = Counter()
    waiting: list[tuple[tuple[str, ...], Node]] = [((), parse(page))]
    while waiting:
        path, node = waiting.pop()
        for child in node.children:
            if isinstance(child, Element):
                here = (*path, f"{child.tag} {sorted(child.attrs.items())}")
                paths[here] += 1
                waiting.append((here, child))
            elif not isinstance(child, Text):
                paths[(*path, str(child))] += 1
    return paths


def _kept(document: Document) -> list[str]:
    return [part for part in document.parts if isinstance(part, str)]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_keeps_its_tree(page: str) -> None:
    document = read_document(page, TextFormat.HTML)
    assert identity(document) == page
    assert len(document.blocks) > 0
    random = Random(page)
    translations = [shuffled(block, random, losing=0) for block in document.blocks]
    translated = rendered(document, translations)
    assert _tree(translated) == _tree(page)
    again = read_document(translated, TextFormat.HTML)
    assert "".join(_kept(again)).split() == "".join(_kept(document)).split()
