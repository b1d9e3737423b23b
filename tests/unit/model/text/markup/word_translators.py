"""Translators of words, which know what they have aligned."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from model.text.markup.block import Block, Document
from model.text.markup.rendering import Translated, render
from model.text.markup.words import AlignedSpan, Words


def unchanged(block: Block) -> Translated:
    """The text itself, each word aligned to itself."""
    words = Words(block.text)
    pairs = zip(words.begins, words.ends, strict=True)
    return Translated(block.text, [AlignedSpan(*span, *span) for span in pairs])


def shuffled(block: Block, random: Random, losing: float = 0.1) -> Translated:
    """The words in some order, some of them lost, changed, or there without a word of the source.

    Verbatim ranges come through in one piece, and line breaks in their order.
    """
    pieces: list[tuple[int, int]] = []
    last = 0
    for begin, end in [*block.protected, (len(block.text), len(block.text))]:
        words = Words(block.text[last:begin])
        pieces += [
            (last + first, last + end) for first, end in zip(words.begins, words.ends, strict=True)
        ]
        if end > begin:
            pieces.append((begin, end))
        last = end
    protected = set(block.protected)
    words_of_it = [
        (block.text[begin:end], (begin, end))
        for begin, end in pieces
        if (begin, end) in protected or random.random() >= losing
    ]
    random.shuffle(words_of_it)
    breaks = block.text.count("\n")
    places = sorted(random.randrange(len(words_of_it) + 1) for _ in range(breaks))
    text, pairs = "", []
    for index, (word, span) in enumerate(words_of_it):
        text += "\n" * places.count(index)
        if span not in protected and random.random() < 0.3:
            word = word + random.choice(["e", "n", "-x", "'s", "ü"])
        if text and random.random() < 0.8:
            text += " "
        if random.random() < 0.8 or span in protected:
            pairs.append(AlignedSpan(*span, len(text), len(text) + len(word)))
        text += word
        if random.random() < 0.1:
            text += " neu"
    text += "\n" * places.count(len(words_of_it))
    return Translated(text, pairs)


def by_table(block: Block, target: str, table: Mapping[str, str]) -> Translated:
    """`target`, aligned to the text by a table of words of both; each occurrence in its turn."""
    pairs = []
    used_source: dict[str, int] = {}
    used_target: dict[str, int] = {}
    for source_word, target_word in table.items():
        for word in source_word.split("|"):
            begin = block.text.find(word, used_source.get(word, 0))
            for other in target_word.split("|"):
                at = target.find(other, used_target.get(other, 0))
                assert begin >= 0, f"{word!r} is not in {block.text!r}"
                assert at >= 0, f"{other!r} is not in {target!r}"
                pairs.append(AlignedSpan(begin, begin + len(word), at, at + len(other)))
                used_target[other] = at + len(other)
            used_source[word] = begin + len(word)
    return Translated(target, pairs)


def identity(document: Document) -> str:
    """The document with its own texts as translations."""
    return render(document, map(unchanged, document.blocks))
