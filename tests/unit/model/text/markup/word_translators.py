"""Translators of words, which know what they have aligned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

from model.text.markup.block import OBJECT, Block, Document
from model.text.markup.rendering import Translated, render, render_block
from model.text.word_links import WordLink, kept_words
from model.text.words import words


def rendered(document: Document, translations: Iterable[Translated]) -> str:
    """The document with translations of its blocks."""
    return "".join(part.text for part in render(document, translations))


def unchanged(block: Block) -> Translated:
    """The text itself, each word aligned to itself."""
    return Translated(block.text, list(kept_words(block.text)))


def shuffled(block: Block, random: Random, losing: float = 0.1) -> Translated:
    """The words in some order, some of them lost, changed, or there without a word of the source.

    What is not translated comes through, and line breaks in their order.
    """
    kept = [
        (block.text[begin:end], (begin, end))
        for begin, end in words(block.text)
        if block.text[begin:end] == OBJECT or random.random() >= losing
    ]
    random.shuffle(kept)
    breaks = block.text.count("\n")
    places = sorted(random.randrange(len(kept) + 1) for _ in range(breaks))
    text, links = "", []
    for index, (word, span) in enumerate(kept):
        text += "\n" * places.count(index)
        if word != OBJECT and random.random() < 0.3:
            word = word + random.choice(["e", "n", "-x", "'s", "ü"])
        if text and random.random() < 0.8:
            text += " "
        if random.random() < 0.8 or word == OBJECT:
            links.append(WordLink(span, (len(text), len(text) + len(word))))
        text += word
        if random.random() < 0.1:
            text += " neu"
    text += "\n" * places.count(len(kept))
    return Translated(text, links)


def by_table(block: Block, target: str, table: Mapping[str, str]) -> Translated:
    """`target`, aligned to the text by a table of words of both; each occurrence in its turn."""
    links = []
    used_source: dict[str, int] = {}
    used_target: dict[str, int] = {}
    for source_word, target_word in table.items():
        for word in source_word.split("|"):
            begin = block.text.find(word, used_source.get(word, 0))
            for other in target_word.split("|"):
                at = target.find(other, used_target.get(other, 0))
                assert begin >= 0, f"{word!r} is not in {block.text!r}"
                assert at >= 0, f"{other!r} is not in {target!r}"
                links.append(WordLink((begin, begin + len(word)), (at, at + len(other))))
                used_target[other] = at + len(other)
            used_source[word] = begin + len(word)
    return Translated(target, links)


def identity(document: Document) -> str:
    """The document with its own texts as translations, each written anew."""
    return "".join(
        part if isinstance(part, str) else render_block(part, unchanged(part)).text
        for part in document.parts
    )
