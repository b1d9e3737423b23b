"""Protection of what stays as it is within a sentence: addresses, tags, variables, code.

A model that has learnt placeholders (model/training/variations.py) reads one in the place of each
of them, and writes it where it belongs in the translation. So nothing of an address is translated,
misspelt or lost, and it costs two tokens where its own spelling takes dozens.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from string import ascii_letters
from typing import NamedTuple

from model.text.tokenizer import Tokenizer
from model.text.vocabulary import PLACEHOLDER, PLACEHOLDERS

__all__ = ["WEB_ADDRESS", "Masked", "Masker", "Span", "is_mark", "longest"]

_HINT = re.compile(r"[#<&{%\\/_`$\uE000-\uE00A]|@(?<![\w/&@]@)[A-Za-z_]|\.[\w-]|www\.|--|localhost")
"""Without any of these there is no match of `_KEPT`, which takes several times as long."""

# Each scan ends after a bounded number of characters, or where no other one begins: time is linear.
WEB_ADDRESS = r"""
    (?<=\()(?<![\w+.-])[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s<>"()]*[^\s<>"().,;:!?]
    |(?:(?<![\w+.-])[A-Za-z][A-Za-z0-9+.-]{1,20}://|(?<![\w.])www\.)  # but not the
     [^\s<>"\u201c-\u201e\xab\xbb\u2039\u203a]*         # marks that end a sentence
     [^\s<>"\u2018-\u201e\xab\xbb\u2039\u203a\u2026'.,;:!?)\]}*]
"""
"""An address with a scheme, or that begins with www; a pattern to be compiled as verbose."""

# What begins with a sign has it first and what must not stand before it behind, so that `re` tries
# at each character only what can begin with it. At one within a word, nothing begins.
_KEPT = re.compile(
    r"""
    [\uE000-\uE00A]                                         # in the text already
    |`(?<![\w`]`)(?P<ticks>`{0,2})(?=[^\s`])(?:[^`'\n]|'[^`'\n]*'){1,200}`(?P=ticks)(?![\w`]) # code
    |@(?<![\w/&@]@)[A-Za-z_]\w*(?:@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5})?   # account
    |\#(?<![\w/&\#]\#)[A-Za-z_]\w*                          # topic
    |</?[A-Za-z][\w:-]*(?:\s+[\w:@.-]+=(?:"[^"<]*"|'[^'<]*'|[^\s"'<>]+))*  # tag
     (?:\s+(?:disabled|checked|selected|required|readonly|hidden|controls|open))?\s*/?>
    |&(?:[A-Za-z]{2,8}[0-9]{0,2}|\#[0-9]{1,6}|\#x[0-9A-Fa-f]{1,5});     # entity
    |\{\s*\w{1,32}\s*,\s*(?:plural|select|selectordinal)\s*,(?:[^{}]|\{[^{}]{0,200}\}){0,500}\}
    |\{\{[^{}\n]{1,100}\}\}|\{%[^{}\n]{1,100}%\}            # of templates
    |[$%\#{](?:(?<=\{)|(?<!\{)\{)\ ?[^{}\s]{1,64}\ ?\}    # variable
    |\$(?<![\w$]\$)[a-z_]\w*|%(?<![\w%]%)[A-Za-z_]\w+%
    |%(?<![\w%]%)(?:%|FORMAT)(?:%(?:%|FORMAT))*
    |~(?<![\w/.~-]~)/(?:[\w.-]+/)*[\w.-]*\w                 # path
    |/(?<![\w/.~-]/)(?:[\w.-]+/)+[\w.-]*\w
    |\\(?:[nrt](?=[A-Z\s\\]|$)|[A-Za-z]{2,20}\{)            # line break in a program, LaTeX
    |(?<!\w)(?=[^\W_]*+[.@:_+-]|localhost)(?:WEB_ADDRESS
    |(?<!\.)localhost(?::[0-9]{1,5})?(?:/[\w./%?&=~-]*\w)?
    |(?<![.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}        # mail address
    |(?<![.@/-])(?:[A-Za-z0-9-]{1,63}\.){1,5}(?:com|org|net|io|edu|gov|de|ch|eu|dev|info|co\.uk)
     \b(?!\.?\w)(?:/[\w./%?&=~-]*\w)?
    |(?<!\\)[A-Za-z]:\\(?:[\w.$~-]+\\)*[\w.$~-]*\w          # path
    |(?<![/.~-])\.{1,2}/(?:[\w.-]+/)*[\w.-]*\w
    |(?<![.-])(?:[\w-]{1,64}(?:\.[\w-]{1,16}){0,3}\.(?i:txt|pdf|docx?|xlsx?|pptx?|odt|csv|jpe?g|png
     |gif|svg|zip|gz|html?|xml|json|ya?ml|toml|ini|log|md|py|js|css|sh|cpp|java|exe|mp[34])\b
    |(?!\w*_in(?:nen)?\b)[A-Za-z0-9]+(?:_[A-Za-z0-9]+)+(?![\w-]))  # name in a program
    |__\w+__(?!\w)
    |(?<!-)--[a-z][a-z0-9]*(?:(?:-[a-z0-9]+)+(?:=[\w./]*\w)?|=[\w./]*\w))  # option of a command
    """.replace("WEB_ADDRESS", WEB_ADDRESS).replace(
        "FORMAT",
        r"(?:\(\w{1,32}\))?(?:[0-9]\$)?[-+0\#]?[0-9]{0,3}(?:\.[0-9]{1,3})?(?:l{0,2}|h|z)"
        r"[sdiouxXfgcpn@](?![a-z])",
    ),
    re.VERBOSE,
)
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_OF_WORD = re.compile(r"[^\W\d_]|['\u2019-]")
"""What a `_WORD` is made of."""
_READ_AS = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2039\u203a\xb4`\u02bc\u2032", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\xab\xbb\u2033", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2212", "-"),
    "\xad": "",
}
"""Quotation marks, apostrophes and hyphens, last a soft one, that say the same as common ones, for
vocabularies that lack them: the translation has those of its own language."""
_STAND_IN = "\ud800"
"""For a sign that is to be kept: no text can hold a lone surrogate."""
_STAND_INS = re.compile(rf"{_STAND_IN}(?:\s*{_STAND_IN})*")
_RARE = frozenset(PLACEHOLDERS).union(_READ_AS)
_NEVER_STRANGE = frozenset(ascii_letters + "ẞ")
"""Letters that a small vocabulary may lack: no word is foreign for them."""
_MOST_CHARACTERS = 20_000
"""Strings for which a masker remembers whether the vocabulary has them."""


class Span(NamedTuple):
    """A part of a sentence that is kept."""

    begin: int
    """Its first character in the sentence."""
    text: str
    before: str
    """The character right before it; white space, or none at the beginning, says that it stands
    alone there."""
    behind: str

    @property
    def end(self) -> int:
        """The character behind its last."""
        return self.begin + len(self.text)


class Masked(NamedTuple):
    """A sentence with placeholders, and what they stand for."""

    text: str
    spans: tuple[Span, ...] = ()
    """At most as many as there are placeholders; the first is the first one's."""

    def filled(self, translation: str) -> str:
        """The translation of `text` with each span once: where its placeholder is first, or at the
        end where the translation has lost it. Placeholders of no span are left out.
        """
        first, *rest = PLACEHOLDER.split(translation)
        if not rest and not self.spans:
            return translation
        waiting = dict(zip(PLACEHOLDERS, self.spans, strict=False))
        filled = first
        for mark, behind in zip(rest[::2], rest[1::2], strict=True):
            span = waiting.pop(mark, None)
            if span is None:
                behind = behind if filled else behind.lstrip()
                filled = (filled if behind[:1].isalnum() else filled.rstrip()) + behind
                continue
            # 5 € was €5 and stays apart; <b>5 was joined and is.
            if _alike(span.before, filled.rstrip()[-1:]):
                filled = filled.rstrip()
            if _alike(span.behind, behind.lstrip()[:1]):
                behind = behind.lstrip()
            filled += span.text + behind
        return " ".join(filter(None, [filled, *(span.text for span in waiting.values())]))


class Masker:
    """Puts placeholders into sentences. Safe to use from several threads.

    Args:
        tokenizer: the model's. What it can only write as bytes is kept as well: signs, and names
            and other words in foreign letters.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._writable: dict[str, bool] = {}
        self._never_strange = set(_NEVER_STRANGE | _READ_AS.keys())

    def mask(self, sentence: str, bounds: Sequence[tuple[int, int]] | None = None) -> Masked:
        """`sentence` with placeholders, for the longest spans if there are more than those.

        Args:
            bounds: the `bounds` of the sentence, or of a longer one for this part of it.
        """
        chosen = longest(self.bounds(sentence) if bounds is None else bounds)
        return self._masked(sentence, chosen, PLACEHOLDERS)

    def mask_pair(self, source: str, target: str, first: int = 0) -> tuple[str, str]:
        """Both sides with the same placeholders for the same spans; unchanged if one lacks any.

        Args:
            first: the placeholder to begin with, or an earlier one if too few are left then.
        """
        bounds = [self.bounds(side) for side in (source, target)]
        left = [source[begin:end] for begin, end in bounds[0]]
        found = [target[begin:end] for begin, end in bounds[1]]
        if not 0 < len(left) <= len(PLACEHOLDERS) or sorted(left) != sorted(found):
            return source, target
        first = min(first, len(PLACEHOLDERS) - len(left))
        marks = list(PLACEHOLDERS[first : first + len(left)])
        masked = self._masked(source, bounds[0], marks)
        order = []
        for text in found:
            place = left.index(text)
            order.append(marks.pop(place))
            del left[place]
        return masked.text, self._masked(target, bounds[1], order).text

    def _masked(
        self, sentence: str, bounds: Sequence[tuple[int, int]], marks: Sequence[str]
    ) -> Masked:
        read_as = self._read_as(sentence)
        if not bounds:
            return Masked(text=sentence.translate(read_as) if read_as else sentence)
        parts: list[str] = []
        spans: list[Span] = []
        at = 0
        for mark, (begin, end) in zip(marks, bounds, strict=False):
            before, behind = sentence[begin - 1 : begin], sentence[end : end + 1]
            spans.append(Span(begin, sentence[begin:end], before, behind))
            # A word's pieces are others where no space stands before it.
            parts += (
                sentence[at:begin],
                " " if before.isalnum() else "",
                mark,
                " " if behind.isalnum() else "",
            )
            at = end
        parts.append(sentence[at:])
        if read_as:
            parts[::4] = [part.translate(read_as) for part in parts[::4]]
        return Masked(text="".join(parts), spans=tuple(spans))

    def _read_as(self, sentence: str) -> dict[int, str]:
        """Common signs for those of `sentence` that the vocabulary lacks, and nothing for the
        placeholders that it brings itself where there were none left to stand for them.
        """
        if _RARE.isdisjoint(sentence):
            return {}
        return {
            ord(sign): _READ_AS.get(sign, "")
            for sign in _RARE.intersection(sentence)
            if sign in PLACEHOLDERS or not self._is_writable(sign)
        }

    def bounds(self, sentence: str) -> list[tuple[int, int]]:
        """Where spans begin and end; those with nothing but white space between them are one."""
        strange = self._strange(sentence)
        signs = _strange_signs(sentence, strange)
        found = _foreign_words(sentence, strange)
        if _HINT.search(sentence):
            found += [match.span() for match in _KEPT.finditer(sentence)]
        if not found:
            return signs
        merged: list[tuple[int, int]] = []
        first = last = -1
        for begin, end in sorted(found + signs):
            if begin <= last or (last >= 0 and sentence[last:begin].isspace()):
                if end > last:
                    last = end
            else:
                merged.append((first, last))
                first, last = begin, end
        merged.append((first, last))
        return merged[1:]

    def _strange(self, sentence: str) -> set[str]:
        """The characters that the vocabulary lacks."""
        if self._never_strange.issuperset(sentence):
            return set()
        signs = set(sentence) - self._never_strange
        return {sign for sign in signs if not self._is_writable(sign)}

    def _is_writable(self, sign: str) -> bool:
        known = self._writable.get(sign)
        if known is None:
            known = self._tokenizer.fallback_ids.isdisjoint(self._tokenizer.tokenize(sign))
            if len(self._writable) < _MOST_CHARACTERS:
                self._writable[sign] = known
                if known:
                    self._never_strange.add(sign)
        return known


def _foreign_words(sentence: str, strange: set[str]) -> list[tuple[int, int]]:
    """Where words stand that are foreign for their `strange` characters."""
    if not any(map(_OF_WORD.match, strange)):
        return []
    shouted = sentence.isupper()
    return [
        word.span()
        for word in _WORD.finditer(sentence)
        if not strange.isdisjoint(word[0]) and _is_foreign(word[0], strange, shouted)
    ]


def _strange_signs(sentence: str, strange: set[str]) -> list[tuple[int, int]]:
    """Where those of `strange` stand that are no letters; those with nothing but white space
    between them are one."""
    signs = {sign for sign in strange if not sign.isalpha()}
    if not signs:
        return []
    marks = {sign for sign in signs if is_mark(sign)}
    if not marks and "*" not in signs:
        shown = sentence.translate(dict.fromkeys(map(ord, signs), _STAND_IN))
        return [match.span() for match in _STAND_INS.finditer(shown)]
    carriers = {sign for sign in set(sentence) if sign.isalpha() or is_mark(sign)}
    parts: list[str] = []
    before = ""
    for place, sign in enumerate(sentence):
        is_accent = sign in marks and before in carriers
        is_kept = sign in signs and not (
            is_accent or (sign == "*" and _is_star_of_word(sentence, place))
        )
        parts.append(_STAND_IN if is_kept else sign)
        before = sign
    return [match.span() for match in _STAND_INS.finditer("".join(parts))]


def longest(bounds: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """The longest of `bounds`, in their order: as many as there are placeholders."""
    if len(bounds) <= len(PLACEHOLDERS):
        return bounds
    lengths = [begin - end for begin, end in bounds]
    chosen = sorted(range(len(bounds)), key=lengths.__getitem__)[: len(PLACEHOLDERS)]
    return [bounds[number] for number in sorted(chosen)]


def _is_foreign(word: str, strange: set[str], shouted: bool) -> bool:
    """Whether it is a name, or most of its letters are strange."""
    if word[0].isupper() and not shouted:
        return True
    letters = [letter for letter in word if letter.isalpha()]
    return 2 * sum(letter in strange for letter in letters) > len(letters)


def is_mark(sign: str) -> bool:
    """Whether a character combines with the one before it, as an accent does."""
    return not sign.isascii() and unicodedata.category(sign).startswith("M")


def _is_star_of_word(sentence: str, place: int) -> bool:
    """Whether the star is that of a German word for all genders."""
    return sentence[place - 1 : place].isalpha() and sentence.startswith("in", place + 1)


def _alike(one: str, other: str) -> bool:
    """Whether both are letters, or digits and the like, or other signs, and neither is white."""
    return bool(one.strip() and other.strip()) and _kind(one) == _kind(other)


def _kind(sign: str) -> tuple[bool, bool]:
    return sign.isalpha(), sign.isnumeric()
