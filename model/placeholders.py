"""What stays as it is within a sentence: addresses, tags, variables, code, strange characters.

A model that has learnt placeholders (model/training/variations.py) reads one in the place of each
of them, and writes it where it belongs in the translation. So nothing of an address is translated,
misspelt or lost, and it costs two tokens instead of thirty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from string import ascii_letters

from model.tokenizer import PLACEHOLDERS, Tokenizer

__all__ = ["Masked", "Masker", "Span"]

_HINT = re.compile(r"[@#<&{%\\/_`\uE000-\uE00A]|\.\w|--")
"""Without any of these there is no match of the next one, which takes ten times as long."""

_KEPT = re.compile(
    r"""
    [\uE000-\uE00A]                                       # in the text already
    |`[^`\n]{1,200}`                                      # code
    |(?:(?<![\w+.-])[A-Za-z][A-Za-z0-9+.-]{1,20}://|(?<![\w.])www\.)  # web address, but not
     [^\s<>"]{0,2000}[^\s<>"'.,;:!?)\]}*]                 # the marks that end a sentence
    |(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}      # mail address
    |(?<![\w.@/-])(?:[A-Za-z0-9-]{1,63}\.){1,5}(?:com|org|net|io|edu|gov|de)\b(?!\.?\w)
     (?:/[\w./%?&=~-]{0,2000}[\w/])?
    |(?<![\w/&])[@\#][A-Za-z_]\w*                         # account, topic
    |</?[A-Za-z][\w:-]*(?:\s+[\w:-]+(?:=(?:"[^"]*"|'[^']*'|[^\s"'<>]+))?)*\s*/?>      # tag
    |&(?:[A-Za-z]{2,8}|\#[0-9]{1,6}|\#x[0-9A-Fa-f]{1,5});  # entity
    |\$?\{{1,2}[^{}\s]{1,64}\}{1,2}                       # variable
    |(?<![\w%])%(?:\(\w{1,32}\))?(?:[0-9]\$)?[-+0\#]?[0-9]{0,3}(?:\.[0-9]{1,3})?l{0,2}[sdiufgxc@](?!\w)
    |(?<![\w\\])[A-Za-z]:\\(?:[\w.$~-]+\\)*[\w.$~-]*\w     # path
    |(?<![\w/.])(?:~|\.{1,2})/(?:[\w.-]+/)*[\w.-]*\w
    |(?<![\w/.])/(?:[\w.-]+/)+(?:[\w.-]*\w)?
    |(?<![\w.-])[\w-]{1,64}\.(?:txt|pdf|docx?|xlsx?|pptx?|odt|csv|jpe?g|png|gif|svg|zip|gz|html?
     |xml|json|ya?ml|toml|py|js|css|sh|exe|mp[34])\b
    |(?<![\w.-])[A-Za-z0-9]+(?:_[A-Za-z0-9]+)+(?![\w-])   # name in a program
    |(?<![\w-])--[a-z][\w-]*\w                            # option of a command
    """,
    re.VERBOSE,
)
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_MARK = re.compile(rf"([{PLACEHOLDERS[0]}-{PLACEHOLDERS[-1]}])")
_LATIN = frozenset(ascii_letters)
"""Every alphabet's neighbour: a word with one that the vocabulary lacks is no foreign word yet."""
_MOST_CHARACTERS = 20_000
"""Of which a masker remembers whether the vocabulary has them."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """A part of a sentence that is kept."""

    text: str
    joined_before: bool
    """A letter or digit stood right before it; its placeholder has a space there."""
    joined_behind: bool


@dataclass(frozen=True, kw_only=True)
class Masked:
    """A sentence with placeholders, and what they stand for."""

    text: str
    spans: tuple[Span, ...] = ()
    """At most as many as there are placeholders; the first is the first one's."""

    def filled(self, translation: str) -> str:
        """The translation of `text`, with each span once: where its placeholder is first, or at the
        end where the translation has lost it. Placeholders of no span are left out.
        """
        if not self.spans and not _MARK.search(translation):
            return translation
        waiting = dict(zip(PLACEHOLDERS, self.spans, strict=False))
        first, *rest = _MARK.split(translation)
        filled = first
        for mark, behind in zip(rest[::2], rest[1::2], strict=True):
            span = waiting.pop(mark, None)
            if span is None:
                filled = (filled if behind[:1].isalnum() else filled.rstrip()) + behind
                continue
            before = filled.rstrip() if span.joined_before else filled
            filled = before + span.text + (behind.lstrip() if span.joined_behind else behind)
        return " ".join([filled, *(span.text for span in waiting.values())])


class Masker:
    """Puts placeholders into sentences. Safe to use from several threads.

    Args:
        tokenizer: the model's. What it can only write as bytes is kept as well: signs, and names
            and other words in a foreign script.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._writable: dict[str, bool] = {}

    def mask(self, sentence: str, first: int = 0) -> Masked:
        """`sentence` with placeholders for the first spans in it, as many as there are.

        Args:
            first: which placeholder to begin with.
        """
        free = PLACEHOLDERS[first:]
        bounds = _merged(sentence, sorted(self._bounds(sentence)))[: len(free)]
        parts: list[str] = []
        spans: list[Span] = []
        at = 0
        for mark, (begin, end) in zip(free, bounds, strict=False):
            span = Span(
                text=sentence[begin:end],
                joined_before=sentence[begin - 1 : begin].isalnum(),
                joined_behind=sentence[end : end + 1].isalnum(),
            )
            # A word's pieces are others where no space stands before it.
            mark = " " * span.joined_before + mark + " " * span.joined_behind
            parts += (sentence[at:begin], mark)
            spans.append(span)
            at = end
        return Masked(text="".join([*parts, sentence[at:]]), spans=tuple(spans))

    def mask_pair(self, source: str, target: str, first: int = 0) -> tuple[str, str]:
        """Both sides with the same placeholders for the same spans; unchanged if one lacks any."""
        masked, translated = self.mask(source, first), self.mask(target, first)
        left = [span.text for span in masked.spans]
        found = [span.text for span in translated.spans]
        if not left or sorted(left) != sorted(found):
            return source, target
        numbers = {}
        for number, text in enumerate(found, first):
            place = left.index(text)
            left[place] = ""
            numbers[ord(PLACEHOLDERS[number])] = PLACEHOLDERS[first + place]
        return masked.text, translated.text.translate(numbers)

    def _bounds(self, sentence: str) -> Iterator[tuple[int, int]]:
        if _HINT.search(sentence):
            for found in _KEPT.finditer(sentence):
                yield found.span()
        strange = {sign for sign in set(sentence) if not self._is_writable(sign)}
        strange -= _LATIN
        for word in _WORD.finditer(sentence):
            if strange.intersection(word[0]) and self._is_foreign(word[0]):
                yield word.span()
        for place, sign in enumerate(sentence):
            if sign in strange and not sign.isalpha():
                yield place, place + 1

    def _is_foreign(self, word: str) -> bool:
        """Whether it is a name, or in a script of which the vocabulary has nothing."""
        return word[0].isupper() or not any(
            self._is_writable(letter) for letter in word if letter.isalpha()
        )

    def _is_writable(self, sign: str) -> bool:
        known = self._writable.get(sign)
        if known is None:
            known = self._tokenizer.fallback_ids.isdisjoint(self._tokenizer.tokenize(sign))
            if len(self._writable) < _MOST_CHARACTERS:
                self._writable[sign] = known
        return known


def _merged(sentence: str, bounds: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """One where several overlap, or have nothing but white space between them."""
    merged: list[tuple[int, int]] = []
    for begin, end in bounds:
        if merged and not sentence[merged[-1][1] : begin].strip():
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged
