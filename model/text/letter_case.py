"""Letter case that says nothing: sentences in capitals, in small letters, headings in Title Case.

A model has read few of them, and a word in capitals falls into many pieces. So the encoder reads
them as words are usually written, which the vocabulary knows: it has a piece for `Haus` and for
`house`, for `Berlin`, and none for `haus`, `HOUSE` or `berlin`. This is truecasing; it works for
every model, whatever it was trained on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from enum import Enum
from operator import mul, sub

from model.text.vocabulary import Vocabulary
from model.text.words import Span

__all__ = ["LetterCase", "Truecaser", "letter_case"]

_WORD = re.compile(r"([^\W\d_]+)")
_MOST_WORDS = 20_000
"""Words whose usual case is remembered."""
_FEWEST_TOGETHER = 50
"""Words for which a call that takes them all pays: it starts a thread."""
_LONGEST_WORD = 40
"""Letters of a word whose usual case is looked for."""
_SHORTEST_SHOUT = 8
"""Letters of two words or more that are capitals as a way of writing, not as abbreviations. Fewer
are if they have fewer pieces otherwise, and a single word is if it is one piece then."""
_SHORTEST_SHOUTED_WORD = 4
_SHORTEST_TITLED_WORD = 4
"""Letters: in Title Case, shorter words may be small."""
_WHOLE_WORD = re.compile(r"(?<![\w'\u2019])[^\W\d_]+")
"""No part of one behind an apostrophe."""
_FEWEST_TITLED_WORDS = 4
"""Of a sentence, and in a language that writes nouns with capitals."""
_ENDS = ".!?\u2026"
"""What a sentence ends with; else it may be a part of one."""
_NOUNS_ARE_CAPITALISED = frozenset({"de", "lb"})
_DOTLESS_I = frozenset({"tr", "az"})


_NO_LETTER = "\ue00f"
"""For private use."""


class LetterCase(Enum):
    """How a sentence is written throughout."""

    CAPITALS = "capitals"
    SMALL = "small"
    TITLE = "title"


class Truecaser:
    """Sentences of one language with the letter case that words usually have. Thread-safe.

    Args:
        vocabulary: of the source.
        language: code of the sentences' language; only the part before a "-" or "_" counts.
    """

    def __init__(self, vocabulary: Vocabulary, language: str) -> None:
        base = re.split("[-_]", language, maxsplit=1)[0].lower()
        self._titles = base not in _NOUNS_ARE_CAPITALISED
        self._usual = _UsualCase(vocabulary, dotless=base in _DOTLESS_I)

    def read(self, sentence: str, kept: Sequence[Span] = ()) -> tuple[str, LetterCase | None]:
        """`sentence` as it is better read, as long as it is, and how all of it was written.

        None and the sentence itself where its letter case tells words apart.

        Args:
            kept: parts whose letters do not count, and stay; in order.
        """
        if not kept:
            return self._read(sentence)
        read, case = self._read(_with(sentence, kept, _NO_LETTER * len(sentence)))
        return _with(read, kept, sentence), case

    def _read(self, sentence: str) -> tuple[str, LetterCase | None]:
        case = letter_case(sentence)
        if case is None:
            return sentence, None
        if case is LetterCase.TITLE and not (self._titles or _is_titled_sentence(sentence)):
            return sentence, None
        parts = _WORD.split(sentence)
        words = parts[1::2]
        if case is LetterCase.TITLE:
            read = self._heading(words)
        elif case is LetterCase.CAPITALS:
            read = self._usual.of(words) if self._is_shouted(words) else None
        else:
            read = self._usual.of(words) if len(words) > 1 else None
        if not read:
            return sentence, None
        if not parts[0] and read[1:] != _WORD.findall(sentence.lower())[1:]:
            # Whose other words have lost their capitals has lost that of its beginning as well.
            read[0] = _capital(read[0])
        parts[1::2] = read
        return "".join(parts), case

    def _is_shouted(self, words: list[str]) -> bool:
        """Whether words in capitals are no abbreviations, or no more than that."""
        letters = sum(len(word) for word in words if len(word) > 1)
        several = sum(len(word) > 1 for word in words) > 1
        if several and letters >= _SHORTEST_SHOUT:
            return True
        times = Counter(words)
        usual = self._usual.of(list(times))
        before = sum(map(mul, self._usual.num_pieces(list(times)), times.values()))
        after = sum(map(mul, self._usual.num_pieces(usual), times.values()))
        is_known = letters >= _SHORTEST_SHOUTED_WORD and after == len(words)
        return after < before and (several or is_known)

    def _heading(self, words: list[str]) -> list[str] | None:
        """Words in Title Case with small letters, but for the first one and names; None if all may
        be names.

        A name is a word that the vocabulary knows better with a capital, with the words beside it
        of which that cannot be told.
        """
        small = list(map(self._usual.lower, words))
        num_pieces = self._usual.num_pieces
        gains = list(map(sub, num_pieces(words), num_pieces(small)))
        if max(gains) <= 0:
            return None
        read = words[:1]
        at = 0
        while at < len(words):
            last = at
            while last < len(words) and gains[last] <= 0:
                last += 1
            is_name = min(gains[at:last], default=0) < 0
            read += (words if is_name else small)[max(1, at) : last]
            read += small[max(1, last) : last + 1]
            at = last + 1
        return read


class _UsualCase(dict[str, str]):
    """Words as the vocabulary has the fewest pieces for them, by themselves in any case."""

    def __init__(self, vocabulary: Vocabulary, *, dotless: bool) -> None:
        self._vocabulary = vocabulary
        self._dotless = dotless

    def of(self, words: list[str]) -> list[str]:
        """The usual form of each of some words."""
        missing = [word for word in dict.fromkeys(words) if word not in self]
        if not missing:
            return [self[word] for word in words]
        small = [self.lower(word) for word in missing]
        capital = [_capital(word) for word in small]
        pieces = self.num_pieces(small + capital)
        found: dict[str, str] = {}
        for number, word in enumerate(missing):
            is_better = pieces[len(small) + number] < pieces[number]
            found[word] = usual = capital[number] if is_better else small[number]
            if len(self) < _MOST_WORDS and len(word) <= _LONGEST_WORD:
                self[word] = usual
        return [found[word] if word in found else self[word] for word in words]

    def num_pieces(self, words: list[str]) -> list[int]:
        """How many pieces each of some words is, alone."""
        if len(words) < _FEWEST_TOGETHER:
            return [len(self._vocabulary.tokenize(word)) for word in words]
        return list(map(len, self._vocabulary.tokenize_batch(words)))

    def lower(self, word: str) -> str:
        """In small letters, as long as before."""
        if self._dotless:
            word = word.replace("I", "\u0131").replace("\u0130", "i")
        small = word.lower()
        if len(small) == len(word):
            return small
        return "".join(sign.lower() if len(sign.lower()) == 1 else sign for sign in word)


def letter_case(sentence: str) -> LetterCase | None:
    """How all words of a sentence are written; None where some differ, or have no case."""
    small = sentence.lower()
    if sentence == small:
        return LetterCase.SMALL if sentence.upper() != sentence else None
    if sentence.upper() == sentence:
        return LetterCase.CAPITALS
    if sentence.rstrip()[-1:] in ".;":
        return LetterCase.TITLE if _is_titled_throughout(sentence) else None
    words = _WORD.findall(sentence)
    if len(words) < 2 or not words[0][:1].isupper():
        return None
    long = [word for word in words if len(word) >= _SHORTEST_TITLED_WORD]
    titled = len(long) > 1 and all(word.istitle() for word in long)
    return LetterCase.TITLE if titled or _is_titled_throughout(sentence) else None


def _is_titled_throughout(sentence: str) -> bool:
    """Whether all words begin with a capital, short ones too, and there are enough to tell."""
    words = _WHOLE_WORD.findall(sentence)
    return len(words) >= _FEWEST_TITLED_WORDS and all(map(str.istitle, words))


def _is_titled_sentence(sentence: str) -> bool:
    """Whether it is no heading, where nouns, of which headings consist, have capitals anyway."""
    return sentence.rstrip()[-1] in _ENDS and _is_titled_throughout(sentence)


def _with(text: str, spans: Sequence[Span], other: str) -> str:
    """`text` with what another one has in its spans."""
    parts: list[str] = []
    at = 0
    for begin, end in spans:
        parts += (text[at:begin], other[begin:end])
        at = end
    return "".join([*parts, text[at:]])


def _capital(word: str) -> str:
    first = word[:1].upper()
    return word if first[1:] else first + word[1:]
