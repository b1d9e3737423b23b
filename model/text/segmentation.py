"""A text cut into the pieces that a model translates one by one, and put together again.

Only sentences are translated. Everything between them stands in the result as it stood in the
text: white space and line breaks, list markers, emoji at a sentence's edge, numbers and addresses
that stand alone. Of what is to be kept within a sentence, model/text/protection.py takes care. With
the sentences for their own translations, the result is the text, to the character.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from model.errors import InvalidRequestError
from model.text.protection import WEB_ADDRESS, Masked, Masker
from model.text.sentences import split_sentences
from model.text.tokenizer import Tokenizer

__all__ = ["Segment", "SegmentedText", "Segmenter"]


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A piece of a text that is translated by itself: a sentence, or a part of one too long."""

    separator: str
    """What stands between the segment before and this one, and is kept."""
    text: str
    """What is translated; it neither begins nor ends with white space."""
    token_ids: tuple[int, ...]
    """`text` as the encoder reads it, the end token included."""
    all_caps: bool = False
    """The encoder reads small letters, and the translation is put into capitals."""
    masked: Masked | None = None
    """What the encoder reads placeholders for; None where it knows none."""

    def rendered(self, translation: str) -> str:
        """The translation of `token_ids` as that of `text`."""
        translation = translation.upper() if self.all_caps else translation
        return translation if self.masked is None else self.masked.filled(translation)


@dataclass(frozen=True, kw_only=True)
class SegmentedText:
    """A text in segments."""

    segments: tuple[Segment, ...]
    """In the text's order; none when there is nothing to translate."""
    tail: str
    """What stands after the last segment and is kept; all of the text when there is none."""

    def join(self, translations: Sequence[str]) -> str:
        """The text with its segments' translations, one for each, in their places."""
        pairs = zip(self.segments, translations, strict=True)
        rendered = (segment.separator + segment.rendered(text) for segment, text in pairs)
        return "".join(rendered) + self.tail


# A tab parts the columns of a table, so it ends a sentence as a line break does.
_BREAK = re.compile(r"([\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+)")

_LINE_START = re.compile(
    r"\s*(?:>\ ?)*"  # the quoted lines of an answer
    r"(?:(?:[-*+•‣▪◦·\u2013—]{1,2}|\#{1,6}|\(?\d{1,3}(?:\.\d{1,3})*[.)]|\(?[A-Za-z]\))"
    r"[\ \u00a0\u3000]+(?:\[[\ xX]\]\ +)?)?",
    re.VERBOSE,
)
"""Indentation, and the marker of a quotation, list item, check box or heading; may be empty."""

_ADDRESS = re.compile(
    rf"{WEB_ADDRESS}"
    r"|(?<!\S)[^\s@]{1,64}@[^\s@]{1,255}"
    r"|(?<!\S)@\w+",
    re.VERBOSE,
)
"""Web and mail addresses and account names."""

_EDGE = re.compile(
    r"[\s\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff"  # white, or no width at all
    r"\u2190-\u245f\u2500-\u2bff\U0001f000-\U0001fbff"  # arrows, pictographs, emoji
    r"\u200d\u20e3\ufe0e\ufe0f\U000e0020-\U000e007f]"  # what joins and varies emoji
)
"""Characters that are kept, and not translated, where a sentence begins or ends."""

_CLAUSE_END = re.compile(
    r"(?<=[;:,\u2013—)\]}»”])\s+"
    r"|(?<=[、」\uff0c\uff1b\uff1a\uff09])"  # full-width ones, which no space follows
)
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"[^\W\d_]+")
_SHORTEST_SHOUT = 8
"""Letters: "DO NOT TOUCH" is one, "USA, UK" is none."""


class Segmenter:
    """Cuts texts of one language into segments that fit a model. Safe to use from several threads.

    Args:
        tokenizer: the model's.
        language: code of the texts' language, for the rules of where sentences end.
        max_tokens: most token ids of a segment, the end token included.
        lowercase_all_caps: read sentences that are all capitals in small letters.
        placeholders: read a placeholder for what is kept within a sentence.

    Raises:
        InvalidRequestError: `max_tokens` leaves no room for a token besides the end token.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        language: str,
        max_tokens: int,
        lowercase_all_caps: bool = False,
        placeholders: bool = False,
    ) -> None:
        if max_tokens < 2:
            raise InvalidRequestError(f"`max_tokens` must be at least 2, but is {max_tokens}")
        self._tokenizer = tokenizer
        self._language = language
        self._max_tokens = max_tokens
        self._lowercase_all_caps = lowercase_all_caps
        self._masker = Masker(tokenizer) if placeholders else None

    def segment(self, text: str) -> SegmentedText:
        """Cuts `text`.

        Raises:
            InvalidRequestError: `text` is no valid Unicode.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidRequestError(
                f"a text must be valid Unicode, but has a lone surrogate at character {error.start}"
            ) from None
        segments: list[Segment] = []
        kept: list[str] = []
        for piece in self._pieces(text):
            if isinstance(piece, str):
                kept.append(piece)
            else:
                segments.append(replace(piece, separator="".join(kept)))
                kept.clear()
        return SegmentedText(segments=tuple(segments), tail="".join(kept))

    def _pieces(self, text: str) -> Iterator[_Piece]:
        """All of `text` in its order: what is kept as strings, what is translated as segments."""
        for number, part in enumerate(_BREAK.split(text)):
            if number % 2 or not _says_something(part):
                yield part
                continue
            start = _LINE_START.match(part)
            begin = start.end() if start else 0
            yield part[:begin]
            for sentence in split_sentences(part[begin:], self._language):
                yield from self._sentence(sentence)

    def _sentence(self, sentence: str) -> Iterator[_Piece]:
        begin, end = _core(sentence)
        core = sentence[begin:end]
        masked = None if self._masker is None else self._masker.mask(core)
        read = core if masked is None else masked.text
        all_caps = self._lowercase_all_caps and _is_all_caps(read)
        read = read.lower() if all_caps else read
        token_ids = self._tokenizer.tokenize(read) if _says_something(core) else []
        if not self._knows(token_ids):
            yield sentence
        elif len(token_ids) < self._max_tokens:
            yield sentence[:begin]
            ids = (*token_ids, self._tokenizer.eos_id)
            yield Segment(separator="", text=core, token_ids=ids, all_caps=all_caps, masked=masked)
            yield sentence[end:]
        elif len(core) == 1:
            yield sentence  # one character of more tokens than the model can read
        else:
            kept = () if masked is None else masked.spans
            cut = begin + _cut(core, [(span.begin, span.end) for span in kept])
            yield from self._sentence(sentence[:cut])
            yield from self._sentence(sentence[cut:])

    def _knows(self, token_ids: Sequence[int]) -> bool:
        """Whether the vocabulary has any of the letters; for others a model makes something up."""
        fallback_ids = self._tokenizer.fallback_ids
        known = [token for token in token_ids if token not in fallback_ids]
        if len(known) == len(token_ids):
            return bool(known)
        return any(map(str.isalpha, self._tokenizer.detokenize(known)))


_Piece = str | Segment


def _says_something(text: str) -> bool:
    """Whether there are words in `text`, besides addresses."""
    if not any(map(str.isalpha, text)):
        return False
    # Most texts have none of these, and to look for addresses costs as much as to tokenise.
    if "@" not in text and "://" not in text and "www." not in text:
        return True
    return any(map(str.isalpha, _ADDRESS.sub("", text)))


def _is_all_caps(sentence: str) -> bool:
    """Whether capitals are how it is said: not an abbreviation or two."""
    if sentence.upper() != sentence:
        return False
    words = [word for word in _WORD.findall(sentence) if len(word) > 1]
    return len(words) > 1 and sum(map(len, words)) >= _SHORTEST_SHOUT


def _core(sentence: str) -> tuple[int, int]:
    """Where the part of a sentence that is translated begins and ends."""
    begin = len(sentence) - len(sentence.lstrip())
    end = len(sentence.rstrip())
    while begin < end and _EDGE.match(sentence[begin]):
        begin += 1
    while begin < end and _EDGE.match(sentence[end - 1]):
        end -= 1
    return begin, end


def _cut(text: str, kept: Sequence[tuple[int, int]]) -> int:
    """The best place near the middle to part a text of two characters or more, but not `kept`.

    Halves are better than a full piece and a rest: a model does worst on what is only a few words.
    """
    middle, quarter = len(text) // 2, len(text) // 4
    for boundary in (_CLAUSE_END, _SPACE):
        ends = [match.end() for match in boundary.finditer(text, quarter, len(text) - quarter)]
        inner = [
            end
            for end in ends
            if 0 < end < len(text) and not any(first < end < last for first, last in kept)
        ]
        if inner:
            return min(inner, key=lambda end: abs(end - middle))
    cut = middle
    while cut > max(1, middle - 16) and _is_one_character(text[cut - 1], text[cut]):
        cut -= 1
    return cut


def _is_one_character(left: str, right: str) -> bool:
    """Whether a reader sees both as one: a letter and its accents, the parts of an emoji."""
    joined = right in "\u200d\ufe0e\ufe0f" or "\U0001f3fb" <= right <= "\U0001f3ff"
    return joined or left == "\u200d" or unicodedata.category(right).startswith("M")
