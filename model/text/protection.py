"""Where a sentence has strings that stay as they are: of the kinds in model/text/verbatim.py, and
those that a vocabulary cannot write.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import accumulate
from string import ascii_letters

from model.text.tokenizer import Tokenizer
from model.text.verbatim import DIGITS_HINT, SIGNS_HINT, WITH_DIGITS, WITH_SIGNS, WORDS_HINT
from model.text.visible import INVISIBLE
from model.text.vocabulary import PLACEHOLDERS

__all__ = ["Bounds", "Protection", "is_mark"]

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
_AS_IT_IS: dict[int, str] = {}
_STAND_IN = "\ud800"
"""For a sign that is to be kept: no text can hold a lone surrogate."""
_STAND_INS = re.compile(rf"{_STAND_IN}(?:[^\S\n]*{_STAND_IN})*")
_FEW_SIGNS = 8
"""For which a pattern of their own pays: it is made in some 100 microseconds."""
_MOST_SETS = 512
"""Sets of signs of which it is remembered."""
_RARE = frozenset(PLACEHOLDERS).union(_READ_AS)
_NEVER_STRANGE = frozenset(ascii_letters + "ẞ\n")
"""Letters that a small vocabulary may lack, for which no word is foreign, and the end of a line."""
_MOST_LETTERS = 3
"""That a ligature within a word is of; U+FDFA, the longest one, is of four words."""
_FEWEST_TOGETHER = 24
"""Words for which a call that takes them all pays: it starts a thread."""
_LONGEST_COMMON_WORD = 100
"""Letters of a word that a vocabulary may have as one piece."""
_MOST_CHARACTERS = 20_000
"""Strings of which it is remembered whether the vocabulary has them."""


Bounds = Sequence[tuple[int, int]]
"""Where spans of a sentence that are kept begin and end: in order, none touching another."""


class Protection:
    """Finds what stays as it is in sentences. Safe to use from several threads.

    Args:
        tokenizer: the model's. What it can only write as bytes is kept as well: signs, and names
            and other words in foreign letters.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._writable: dict[str, bool] = {}
        self._never_strange = set(_NEVER_STRANGE | _READ_AS.keys() | INVISIBLE)

    def read_as(self, sentence: str) -> dict[int, str]:
        """Common signs for those of `sentence` that the vocabulary lacks, small letters for
        capitals, and nothing for the placeholders that it brings itself where there were no marks
        left to stand for them.
        """
        if sentence.isascii() and "`" not in sentence:
            return _AS_IT_IS
        read_as = {}
        if not (sentence.isascii() or sentence.islower()):
            for sign in filter(str.isupper, self._strange(sentence)):
                if len(small := sign.lower()) == 1 and self._is_writable(small):
                    read_as[ord(sign)] = small
        if not _RARE.isdisjoint(sentence):
            for sign in _RARE.intersection(sentence):
                if sign in PLACEHOLDERS or not self._is_writable(sign):
                    read_as[ord(sign)] = _READ_AS.get(sign, "")
        return read_as

    def bounds(self, sentence: str) -> Bounds:
        """Where spans begin and end; those with nothing but white space between them are one."""
        return self.bounds_batch([sentence])[0]

    def bounds_batch(self, sentences: Sequence[str]) -> list[Bounds]:
        """`bounds` of many sentences at once, none of which has a line break."""
        text = "\n".join(sentences)
        spans = self._spans(text)
        if len(sentences) == 1 or not spans:
            return [spans] * len(sentences)
        bounds: list[Bounds] = [()] * len(sentences)
        ends = [*accumulate([len(sentence) + 1 for sentence in sentences])]
        number, start = -1, 0
        found: list[tuple[int, int]] = []
        for begin, end in spans:
            if number < 0 or begin >= ends[number]:
                number = bisect_right(ends, begin, number + 1)
                start = ends[number] - len(sentences[number]) - 1
                bounds[number] = found = []
            found.append((begin - start, end - start))
        return bounds

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """The bounds of all spans in lines of text; no pattern goes beyond the end of a line."""
        strange = self._strange(text)
        signs = _strange_signs(text, strange)
        found = self._foreign_words(text, strange)
        if any(map(text.__contains__, WORDS_HINT)):
            found += [match.span() for match in WITH_SIGNS.finditer(text)]
        else:
            found += _spans_in_lines(WITH_SIGNS, SIGNS_HINT, text)
        found += _spans_in_lines(WITH_DIGITS, DIGITS_HINT, text)
        if not found:
            return signs
        merged: list[tuple[int, int]] = []
        last = -1
        for bound in sorted(found + signs):
            begin, end = bound
            if begin > last and (
                (before := text[begin - 1]) == "\n"
                or not before.isspace()
                or not (gap := text[last:begin]).isspace()
                or "\n" in gap
            ):
                merged.append(bound)
                last = end
            elif end > last:
                merged[-1] = (merged[-1][0], end)
                last = end
        return merged

    def _strange(self, sentence: str) -> set[str]:
        """The characters that the vocabulary lacks."""
        if self._never_strange.issuperset(sentence):
            return set()
        signs = set(sentence) - self._never_strange
        return {sign for sign in signs if not self._is_writable(sign)}

    def _foreign_words(self, text: str, strange: set[str]) -> list[tuple[int, int]]:
        """Where words stand that are foreign for their `strange` characters."""
        if not any(map(_OF_WORD.match, strange)):
            return []
        foreign = {
            word
            for word in set(_WORD.findall(text))
            if not strange.isdisjoint(word) and _is_foreign(word, strange, is_shouted=False)
        }
        foreign -= self._capitalised(foreign)
        if not foreign:
            return []
        certain = {word for word in foreign if _is_foreign(word, strange, is_shouted=True)}
        spans: list[tuple[int, int]] = []
        line_end, is_shouted = -1, False
        for match in _WORD.finditer(text):
            word = match[0]
            if word not in certain:
                if word not in foreign:
                    continue
                if (begin := match.start()) > line_end:
                    line_end = text.find("\n", begin) % (len(text) + 1)
                    is_shouted = text[text.rfind("\n", 0, begin) + 1 : line_end].isupper()
                if is_shouted:
                    continue
            spans.append(match.span())
        return spans

    def _capitalised(self, words: Collection[str]) -> set[str]:
        """Those that are common words, with a capital, that the vocabulary has in small letters."""
        small = {word: word.lower() for word in words if len(word) <= _LONGEST_COMMON_WORD}
        small = {word: each for word, each in small.items() if word[1:] == each[1:]}
        if len(small) < _FEWEST_TOGETHER:
            rows = [self._tokenizer.tokenize(each) for each in small.values()]
        else:
            rows = self._tokenizer.tokenize_batch(list(small.values()))
        return {word for word, ids in zip(small, rows, strict=True) if len(ids) == 1}

    def _is_writable(self, sign: str) -> bool:
        known = self._writable.get(sign)
        if known is None:
            known = self._tokenizer.fallback_ids.isdisjoint(self._tokenizer.tokenize(sign))
            if len(self._writable) < _MOST_CHARACTERS:
                self._writable[sign] = known
                if known:
                    self._never_strange.add(sign)
        return known


def _spans_in_lines(
    pattern: re.Pattern[str], hint: re.Pattern[str], text: str
) -> list[tuple[int, int]]:
    """Where `pattern` is in those lines of a text that have the hint of it."""
    hints = hint.findall(text)
    if len(hints) > text.count("\n") // 2:
        return [match.span() for match in pattern.finditer(text)]
    found: list[tuple[int, int]] = []
    at = 0
    while hints and (hinted := hint.search(text, at)):
        begin = text.rfind("\n", 0, hinted.start()) + 1
        at = text.find("\n", hinted.end()) % (len(text) + 1)
        found += [match.span() for match in pattern.finditer(text, begin, at)]
    return found


def _strange_signs(sentence: str, strange: set[str]) -> list[tuple[int, int]]:
    """Where those of `strange` stand that are no letters, or ligatures of whole words; those with
    nothing but white space between them are one."""
    signs = {sign for sign in strange if not sign.isalpha() or _is_ligature(sign)}
    if not signs:
        return []
    marks = {sign for sign in signs if is_mark(sign)}
    if not marks and "*" not in signs:
        if len(signs) <= _FEW_SIGNS:
            return [m.span() for m in _runs_of("".join(sorted(signs))).finditer(sentence)]
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


@lru_cache(_MOST_SETS)
def _runs_of(signs: str) -> re.Pattern[str]:
    """Some signs with nothing but white space between them."""
    any_sign = f"[{re.escape(signs)}]"
    return re.compile(rf"{any_sign}(?:[^\S\n]*{any_sign})*")


def _is_ligature(sign: str) -> bool:
    """Whether it is as many letters as a word has, of which each may be some tokens."""
    return len(unicodedata.normalize("NFKC", sign)) > _MOST_LETTERS


def _is_foreign(word: str, strange: set[str], *, is_shouted: bool) -> bool:
    """Whether it is a name, or most of its letters are strange."""
    if word[0].isupper() and not is_shouted:
        return True
    letters = word if word.isalpha() else "".join(filter(str.isalpha, word))
    return 2 * sum(map(strange.__contains__, letters)) > len(letters)


def is_mark(sign: str) -> bool:
    """Whether a character combines with the one before it, as an accent does."""
    return not sign.isascii() and unicodedata.category(sign).startswith("M")


def _is_star_of_word(sentence: str, place: int) -> bool:
    """Whether the star is that of a German word for all genders."""
    return sentence[place - 1 : place].isalpha() and sentence.startswith("in", place + 1)
