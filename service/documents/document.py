"""A document as texts to translate, and what is asked of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from model.errors import InvalidRequestError
from model.text_options import NO_TEXT_OPTIONS, TextFormat, TextOptions
from service.documents.limits import DocumentLimits

__all__ = ["Batch", "Document", "DocumentOptions", "Unit", "batches"]


class Unit(NamedTuple):
    """A text that is translated as one."""

    text: str
    """With something to translate; white space neither begins nor ends it, unless a format of
    lines (`wrapped`, `markdown`, `html`) says what it is."""
    format: TextFormat = TextFormat.TEXT

    @property
    def num_characters(self) -> int:
        """Characters that count, markup included; of text in lines, blank ones and indentation do
        not, and a line end within a paragraph counts as the space that it is."""
        if self.format is not TextFormat.WRAPPED:
            return len(self.text)
        total, in_paragraph = 0, False
        for line in self.text.split("\n"):
            size = len(line.strip())
            total += size + (in_paragraph and size > 0)
            in_paragraph = size > 0
        return total


class Batch(NamedTuple):
    """Units of one format, to be translated together."""

    format: TextFormat
    texts: list[str]
    places: list[int]
    """Which of the document's units they are."""

    @property
    def num_characters(self) -> int:
        """Those of its units that count."""
        return sum(Unit(text, self.format).num_characters for text in self.texts)

    def text_options(self, options: TextOptions = NO_TEXT_OPTIONS) -> TextOptions:
        """What is asked of the texts: `options`, in this format; of HTML attributes too."""
        is_html = self.format is TextFormat.HTML
        return replace(options, format=self.format, translate_attributes=is_html)


@dataclass(frozen=True, kw_only=True)
class DocumentOptions:
    """What is asked of a document."""

    source: str | None = None
    """Code of its language, where it is known."""
    target: str | None = None
    """Code of the language that it is translated into: where a format says its language, this is
    said instead."""
    retranslate: bool = False
    """Whether messages of .po and .xliff that have a translation get a new one."""
    keys: tuple[str, ...] = ()
    """For .json, which strings are translated: names, or paths of names such as `menu.*.title`,
    where `*` is any name or number; none for all."""
    columns: tuple[str, ...] = ()
    """For .csv, which columns are translated: numbers from 1, or names in the first line; none for
    all."""
    header: bool = True
    """For .csv, whether the first line has names of columns, which stay."""
    limits: DocumentLimits = field(default_factory=DocumentLimits)


class Document:
    """A document that has been read.

    Args:
        units: what is translated of it.
        write: makes the translated file of the units' translations; called once.
    """

    def __init__(self, units: Sequence[Unit], write: Callable[[Sequence[str]], bytes]) -> None:
        self.units = tuple(units)
        self._write = write

    @property
    def num_characters(self) -> int:
        """Characters of all units together that count."""
        return sum(unit.num_characters for unit in self.units)

    def batches(self, most_texts: int = 64, most_characters: int = 8000) -> Iterator[Batch]:
        """`batches` of all units."""
        return batches(self.units, most_texts, most_characters)

    def written(self, translations: Sequence[str]) -> bytes:
        """The file with translations, one for each unit. It can be written once.

        Raises:
            InvalidRequestError: there are more of them, or fewer.
        """
        if len(translations) != len(self.units):
            raise InvalidRequestError(
                f"a document with {len(self.units)} units must have as many translations, but has "
                f"{len(translations)}"
            )
        return self._write(translations)


def batches(
    units: Sequence[Unit], most_texts: int = 64, most_characters: int = 8000
) -> Iterator[Batch]:
    """All units, those of one format together. One that is longer than `most_characters` comes
    alone."""
    formats = dict.fromkeys(unit.format for unit in units)
    for text_format in formats:
        batch = Batch(text_format, [], [])
        size = 0
        for place, unit in enumerate(units):
            if unit.format is not text_format:
                continue
            is_full = len(batch.texts) >= most_texts or size + len(unit.text) > most_characters
            if batch.texts and is_full:
                yield batch
                batch, size = Batch(text_format, [], []), 0
            batch.texts.append(unit.text)
            batch.places.append(place)
            size += len(unit.text)
        if batch.texts:
            yield batch
