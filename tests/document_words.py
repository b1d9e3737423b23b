"""Translations of documents without a model: words in capitals, or in reverse order.

Markup goes the way that it goes with a model: read, aligned word by word, and put around the words
that say the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from model.documents import read_texts
from model.text.word_links import WordLink
from model.text_options import TextFormat
from model.translation import FinishReason, Translation, TranslationHypothesis
from service.documents.document import Batch, DocumentOptions
from service.documents.formats import find_format
from service.documents.translation import translated

__all__ = ["in_capitals", "in_reverse", "rewritten"]

_WORD = re.compile(r"[^\W_]+")

Changed = tuple[str, list[WordLink]]


def rewritten(
    name: str,
    data: bytes,
    change: Callable[[str], Changed] | None = None,
    options: DocumentOptions | None = None,
) -> bytes:
    """A document with its texts in capitals, or changed otherwise.

    Args:
        name: of the file, for its format.
    """
    document = find_format(name).read(data, options or DocumentOptions())

    def translate(batch: Batch) -> Sequence[str]:
        return _translations(batch, change or in_capitals)

    return translated(document, translate)


def in_capitals(text: str) -> Changed:
    """Each word in capitals, in its place."""
    links = [WordLink(found.span(), found.span()) for found in _WORD.finditer(text)]
    return _WORD.sub(lambda found: found[0].upper() if len(found[0].upper()) == len(found[0]) else
                     found[0], text), links  # fmt: skip


def in_reverse(text: str) -> Changed:
    """The words in reverse order, what is between them in its place."""
    words = list(_WORD.finditer(text))
    parts: list[str] = []
    links: list[WordLink] = []
    at = length = 0
    for place, said in zip(words, reversed(words), strict=True):
        between = text[at : place.start()]
        parts += (between, said[0])
        length += len(between)
        links.append(WordLink(said.span(), (length, length + len(said[0]))))
        length += len(said[0])
        at = place.end()
    return "".join([*parts, text[at:]]), sorted(links)


def _translations(batch: Batch, change: Callable[[str], Changed]) -> list[str]:
    if batch.format is TextFormat.TEXT:
        return [change(text)[0] for text in batch.texts]
    documents = read_texts(batch.texts, batch.text_options())
    found = (_translation(*change(text)) for text in documents.texts)
    return [each.text for each in documents.translations(found, False) if each is not None]


def _translation(text: str, links: list[WordLink]) -> Translation:
    hypothesis = TranslationHypothesis(text=text, score=0.0, alignments=tuple(links))
    return Translation(
        text=text, finish_reason=FinishReason.STOP, score=0.0, hypotheses=(hypothesis,)
    )
