"""What a request asks of its texts: what is kept, which terms are used, how the answer begins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple, Self

from model.errors import InvalidOptionError

__all__ = [
    "DETECTED_STRUCTURE",
    "NO_TEXT_OPTIONS",
    "GlossaryEntry",
    "KeptSpan",
    "TextFormat",
    "TextOptions",
    "XmlStructure",
]


class TextFormat(StrEnum):
    """What texts are written in."""

    TEXT = "text"
    HTML = "html"
    XML = "xml"
    MARKDOWN = "markdown"
    WRAPPED = "wrapped"
    """Text whose paragraphs are broken into lines of some width, as mails are."""


class GlossaryEntry(NamedTuple):
    """A term of the source language and how it is translated."""

    source: str
    targets: tuple[str, ...]
    """Forms, such as a noun's cases: the model chooses the one that fits."""
    case_sensitive: bool = False
    """Whether only `source` as it is written is the term, and forms are written as they are given;
    else CAT and Cat are cat too, and the translation is capitalised as they are."""


class KeptSpan(NamedTuple):
    """A part of a text that is not translated."""

    text: int
    """Which of the texts, from 0."""
    begin: int
    """In Unicode code points, from 0."""
    end: int
    """Behind the last."""


class XmlStructure(NamedTuple):
    """Which elements of XML part its text, and which stand within a text.

    By themselves, those stand within that are in an element with text of its own, at any depth.
    Names are compared as they are written.
    """

    splitting: frozenset[str] = frozenset()
    """Names of elements that part it in any case."""
    non_splitting: frozenset[str] = frozenset()
    """Names of those that never do, unless they are `splitting` too."""
    detected: bool = True
    """Whether all others are told by the document; else they stand within."""


DETECTED_STRUCTURE = XmlStructure()
"""As a document tells it by itself."""


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """What is the same for all texts of a request.

    Raises:
        InvalidOptionError: a value breaks a rule; messages name places and no texts.
    """

    keep: tuple[str, ...] = ()
    """Strings that are not translated, wherever they are."""
    keep_spans: tuple[KeptSpan, ...] = ()
    """Parts of the texts that are not translated; in order, apart from each other."""
    glossary: tuple[GlossaryEntry, ...] = ()
    """No term twice."""
    banned_terms: tuple[str, ...] = ()
    """Words that no translation has, whatever their case."""
    target_prefix: str = ""
    """The beginning of the translation of a request's only text, which goes on from there."""
    format: TextFormat = TextFormat.TEXT
    translate_attributes: bool = False
    """Whether attributes that people read, such as `alt` and `title`, are translated; of Markdown,
    descriptions of images and titles of links."""
    ignore_tags: tuple[str, ...] = ()
    """Names of elements of HTML and XML that are not translated, with all that is in them."""
    structure: XmlStructure = DETECTED_STRUCTURE
    """What parts the texts of XML."""
    parted_amounts: frozenset[int] = frozenset()
    """Texts in which markup parts an amount of money from its sign or its words, or a range of
    amounts, by their numbers."""

    def __post_init__(self) -> None:
        for name in ("keep", "keep_spans", "glossary", "banned_terms", "ignore_tags"):
            if not isinstance(value := getattr(self, name), tuple):
                raise InvalidOptionError(
                    f"`{name}` must be a tuple, but is {type(value).__name__}", name
                )
        for name in ("keep", "banned_terms"):
            for number, term in enumerate(getattr(self, name)):
                _check_term(name, f"`{name}[{number}]`", term)
        _check_spans(self.keep_spans)
        _check_glossary(self.glossary)
        _check_banned(self.glossary, self.banned_terms)
        _check_unicode("target_prefix", "`target_prefix`", self.target_prefix)
        if self.target_prefix and not self.target_prefix.strip():
            raise InvalidOptionError(
                "`target_prefix` must have more than white space, but has not",
                "target_prefix",
            )
        if self.format not in list(TextFormat):
            raise InvalidOptionError(
                f"`format` must be one of {', '.join(TextFormat)}, but is {self.format!r:.50}",
                "format",
            )
        if self.target_prefix and self.format is not TextFormat.TEXT:
            raise InvalidOptionError(
                f"`target_prefix` must come with plain text, but comes with {self.format}",
                "target_prefix",
            )

    def check_texts(self, texts: Sequence[str]) -> None:
        """Holds it against the texts.

        Raises:
            InvalidOptionError: there is a prefix for more than one text, or a span lies outside of
                its text.
        """
        if self.target_prefix and len(texts) != 1:
            raise InvalidOptionError(
                f"`target_prefix` must come with one text, but comes with {len(texts)}",
                "target_prefix",
            )
        for number, span in enumerate(self.keep_spans):
            if not 0 <= span.text < len(texts):
                raise InvalidOptionError(
                    f"a span of `keep` must be of one of {len(texts)} texts, but number {number} "
                    f"is of text {span.text}",
                    "keep",
                )
            if span.end > (length := len(texts[span.text])):
                raise InvalidOptionError(
                    f"a span of `keep` must lie within its text of {length} characters, but number "
                    f"{number} ends at {span.end}",
                    "keep",
                )

    def for_texts(self, indices: Sequence[int]) -> Self:
        """For a call with these of the request's texts alone."""
        numbers = {index: number for number, index in enumerate(indices)}
        spans = tuple(
            span._replace(text=numbers[span.text])
            for span in self.keep_spans
            if span.text in numbers
        )
        parted = frozenset(numbers[each] for each in self.parted_amounts if each in numbers)
        return replace(self, keep_spans=spans, parted_amounts=parted)

    def to_pivot(self) -> Self:
        """For the model on the way to the last one: what is kept is kept, and terms of the glossary
        are too, so that the last one finds them."""
        kept = tuple(entry._replace(targets=(entry.source,)) for entry in self.glossary)
        return replace(self, glossary=kept, banned_terms=(), target_prefix="")

    def from_pivot(self, texts: Sequence[str]) -> Self:
        """For the model behind another, which has read `texts`: spans are kept as what they say."""
        if not self.keep_spans:
            return self
        said = (texts[span.text][span.begin : span.end] for span in self.keep_spans)
        kept = dict.fromkeys([*self.keep, *(each for each in said if each.strip())])
        return replace(self, keep=tuple(kept), keep_spans=())


def _check_term(option: str, name: str, term: str) -> None:
    _check_unicode(option, name, term)
    if not term.strip() or term != term.strip():
        raise InvalidOptionError(
            f"{name} must begin and end with more than white space, but does not", option
        )
    if not term.isprintable() and any(map(_ends_line, term)):
        raise InvalidOptionError(f"{name} must be within a line, but has two", option)


def _ends_line(sign: str) -> bool:
    return sign in "\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"


def _check_unicode(option: str, name: str, text: str) -> None:
    if not isinstance(text, str):
        raise InvalidOptionError(f"{name} must be a string, but is {type(text).__name__}", option)
    if "\0" in text:
        raise InvalidOptionError(f"{name} must not have the character U+0000", option)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidOptionError(
            f"{name} must be valid Unicode, but has a lone surrogate at {error.start}",
            option,
        ) from None


def _check_spans(spans: Iterable[KeptSpan]) -> None:
    last = KeptSpan(0, 0, 0)
    for number, span in enumerate(spans):
        if not 0 <= span.begin < span.end:
            raise InvalidOptionError(
                f"a span of `keep` must have 0 <= `begin` < `end`, but number {number} has "
                f"{span.begin} and {span.end}",
                "keep",
            )
        if (span.text, span.begin) < (last.text, last.end):
            raise InvalidOptionError(
                "spans of `keep` must be in order and apart from each other, but number "
                f"{number} is not",
                "keep",
            )
        last = span


def _check_glossary(entries: Iterable[GlossaryEntry]) -> None:
    seen: dict[tuple[str, bool], int] = {}
    for number, entry in enumerate(entries):
        name = f"entry {number} of `glossary`"
        _check_term("glossary", name, entry.source)
        if not isinstance(entry.targets, tuple):
            raise InvalidOptionError(
                f"{name} must have a tuple of forms, but has {type(entry.targets).__name__}",
                "glossary",
            )
        if not entry.targets:
            raise InvalidOptionError(f"{name} must have one form or more, but has none", "glossary")
        for form in entry.targets:
            _check_term("glossary", f"a form of {name}", form)
        exact = entry.case_sensitive
        key = (entry.source if exact else entry.source.casefold(), exact)
        if (other := seen.setdefault(key, number)) != number:
            raise InvalidOptionError(
                f"`glossary` must have each term once, but entries {other} and {number} are of the "
                f"same one{'' if exact else ', case aside'}",
                "glossary",
            )


def _check_banned(entries: Iterable[GlossaryEntry], banned_terms: Iterable[str]) -> None:
    banned = {term.casefold() for term in banned_terms}
    for number, entry in enumerate(entries):
        if any(form.casefold() in banned for form in entry.targets):
            raise InvalidOptionError(
                f"`banned_terms` must not have what `glossary` asks for, but have a form of entry "
                f"{number}",
                "banned_terms",
            )


NO_TEXT_OPTIONS = TextOptions()
"""Plain text, nothing asked."""
