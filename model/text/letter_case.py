"""Letter case that says nothing: sentences in capitals, in small letters, headings in Title Case.

A model has read few of them, and a word in capitals falls into many pieces. So the encoder reads
them as words are usually written, which the vocabulary knows: it has a piece for `Haus` and for
`house`, for `Berlin`, and none for `haus`, `HOUSE` or `berlin`. This is truecasing; it works for
every model, whatever it was trained on.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from enum import Enum
from typing import NamedTuple

from model.text.vocabulary import Vocabulary
from model.text.words import Span

__all__ = ["LetterCase", "Truecaser", "letter_case", "may_be_capitals"]

_WORD = re.compile(r"([^\W\d_]+)")
_SHORTEST_TITLED_WORD = 4
"""Letters: in Title Case, shorter words may be small."""
_MAY_BE_CASED = re.compile(
    r"[^\W\d_](?<![^\W\d_].)(?:[^\W\d_]*+[\W\d_]+[^\W\d_]|(?<![a-z])[^\W\d_a-z]{3})"
)
"""Two words, or one that may be in capitals: without, a sentence's letter case says nothing new."""
_CAPITAL = re.compile(r"[A-Z](?!\d)")
"""A capital that is no mark of a run, which a digit follows."""
_SMALL_LETTER = re.compile(r"[a-z]")
_SMALL_WORD = re.compile(r"[a-z](?<![\w'\u2019].)")
_LONG_SMALL_WORD = re.compile(rf"[a-z](?<![\w'\u2019].)[^\W\d_]{{{_SHORTEST_TITLED_WORD - 1}}}")
_TWO_LONG_WORDS = re.compile(
    rf"[^\W\d_]{{{_SHORTEST_TITLED_WORD}}}[^\W\d_]*+[\W\d_](?s:.*?)[^\W\d_]{{{_SHORTEST_TITLED_WORD}}}"
)
_PARTS_OF_ONE_WORD = 3
"""What `_WORD` splits one word into, with what is around it."""
_MOST_FORMS = 40_000
"""Forms of words of which the number of pieces is remembered."""
_FEWEST_TOGETHER = 50
"""Words for which a call that takes them all pays: it starts a thread."""
_LONGEST_WORD = 40
"""Letters of a word of which it is remembered."""
_SHORTEST_SHOUT = 8
"""Letters of two words or more that are capitals as a way of writing, not as abbreviations. Fewer
are if they have fewer pieces otherwise, and a single word is if it is one piece then."""
_SHORTEST_SHOUTED_WORD = 4
_WHOLE_WORD = re.compile(r"(?<![\w'\u2019])[^\W\d_]+")
"""No part of one behind an apostrophe."""
_FEWEST_TITLED_WORDS = 4
"""In a sentence, and in a language that writes nouns with capitals."""
_ENDS = ".!?\u2026"
"""What a sentence ends with; else it may be a part of one."""
_SHORTEST_SENTENCE = 3
"""Words of what is a sentence in capitals for certain: WET PAINT! is a label, whatever ends it."""
_APOSTROPHES = ("'", "\u2019")
_LONGEST_ENDING = 2
"""Letters of what an apostrophe joins to a word: 's, 't, 've, 'll."""
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
        self._dotless = base in _DOTLESS_I
        self._num_pieces = _PieceCounts(vocabulary)

    def read(self, sentence: str, kept: Sequence[Span] = ()) -> tuple[str, LetterCase | None]:
        """`sentence` as it is better read, as long as it is, and how all of it was written.

        None and the sentence itself where its letter case tells words apart.

        Args:
            kept: parts whose letters do not count, and stay; in order, none within a word.
        """
        return self.read_batch([(sentence, kept)])[0]

    @staticmethod
    def may_read(sentence: str) -> bool:
        """Whether a sentence, marks of runs included, may be read otherwise than it is written."""
        if not _MAY_BE_CASED.search(sentence):
            return False
        if not _CAPITAL.search(sentence):
            return True
        # Neither in small letters, then, nor in capitals or Title Case with one of these words.
        return not (
            _LONG_SMALL_WORD.search(sentence)
            or (_SMALL_WORD.search(sentence) and not _TWO_LONG_WORDS.search(sentence))
        )

    def read_batch(
        self, sentences: Sequence[tuple[str, Sequence[Span]]]
    ) -> list[tuple[str, LetterCase | None]]:
        """`read` of many sentences at once, each with its `kept`."""
        found = [self._cased(sentence, kept) for sentence, kept in sentences]
        cased = [each for each in found if each is not None]
        if not cased:
            return [(sentence, None) for sentence, _ in sentences]
        words = self._words_of(cased)
        read: list[tuple[str, LetterCase | None]] = []
        for (sentence, kept), each in zip(sentences, found, strict=True):
            better = None if each is None else _better_read(each, words)
            if each is None or better is None:
                read.append((sentence, None))
                continue
            if (
                not each.parts[0]
                and (
                    _is_sentence(each)
                    # Whose other words have lost their capitals has lost that one as well.
                    or better[1:] != [words.small[w] for w in each.parts[3::2]]
                )
            ):
                better[0] = _capital(better[0])
            each.parts[1::2] = better
            text = "".join(each.parts)
            read.append((_with(text, kept, sentence) if kept else text, each.case))
        return read

    def _cased(self, sentence: str, kept: Sequence[Span]) -> _CasedSentence | None:
        """The words of a sentence whose letter case says nothing."""
        if kept:
            sentence = _with(sentence, kept, _NO_LETTER * len(sentence))
        case = letter_case(sentence)
        if case is None:
            return None
        if case is LetterCase.TITLE and not (self._titles or _is_titled_sentence(sentence)):
            return None
        if case is LetterCase.SMALL and sentence.isalpha():
            return None  # a word, of which it cannot be told
        parts = _WORD.split(sentence)
        if case is LetterCase.SMALL and len(parts) <= _PARTS_OF_ONE_WORD:
            return None
        return _CasedSentence(case, parts)

    def _words_of(self, sentences: Sequence[_CasedSentence]) -> _Words:
        """What is known of the words of some sentences."""
        small = {word: self._lower(word) for each in sentences for word in set(each.parts[1::2])}
        capital = {word: _capital(each) for word, each in small.items()}
        counts = self._num_pieces({*small, *small.values(), *capital.values()})
        usual = {
            word: capital[word] if counts[capital[word]] < counts[each] else each
            for word, each in small.items()
        }
        return _Words(small, usual, counts)

    def _lower(self, word: str) -> str:
        """In small letters, as long as before."""
        if self._dotless:
            word = word.replace("I", "\u0131").replace("\u0130", "i")
        small = word.lower()
        if len(small) == len(word):
            return small
        return "".join(sign.lower() if len(sign.lower()) == 1 else sign for sign in word)


class _CasedSentence(NamedTuple):
    """A sentence whose letter case says nothing."""

    case: LetterCase
    parts: list[str]
    """The words, at odd places, and what is between them."""


class _Words(NamedTuple):
    """What is known of words."""

    small: dict[str, str]
    """Each in small letters."""
    usual: dict[str, str]
    """Each as it has the fewest pieces, by itself in any case."""
    counts: dict[str, int]
    """The pieces of each, and of its other forms."""


class _PieceCounts:
    """How many pieces words are, alone: those that were asked for last are remembered."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._known: dict[str, int] = {}

    def __call__(self, words: Collection[str]) -> dict[str, int]:
        """The number of pieces of each of some words."""
        known = self._known
        counts = {word: known.get(word, 0) for word in words}
        missing = [word for word, count in counts.items() if not count]
        if not missing:
            return counts
        if len(missing) < _FEWEST_TOGETHER:
            rows = [self._vocabulary.tokenize(word) for word in missing]
        else:
            rows = self._vocabulary.tokenize_batch(missing)
        counts |= zip(missing, map(len, rows), strict=True)
        if len(known) + len(missing) > _MOST_FORMS:
            known.clear()
        short = (word for word in missing[:_MOST_FORMS] if len(word) <= _LONGEST_WORD)
        known |= {word: counts[word] for word in short}
        return counts


def _is_sentence(sentence: _CasedSentence) -> bool:
    """Whether capitals are those of a sentence for certain, which a label would end otherwise.

    Who writes in small letters begins a sentence with one.
    """
    is_ended = sentence.parts[-1].rstrip()[-1:] in tuple(_ENDS)
    is_long = len(sentence.parts) // 2 >= _SHORTEST_SENTENCE
    return is_ended and is_long and sentence.case is LetterCase.CAPITALS


def _better_read(sentence: _CasedSentence, known: _Words) -> list[str] | None:
    """The words of a sentence as they are usually written; None if they may be so already."""
    words = sentence.parts[1::2]
    if sentence.case is LetterCase.TITLE:
        return _heading(words, known)
    if sentence.case is LetterCase.CAPITALS and not _is_shouted(words, known):
        return None
    return [
        known.small[word] if _is_ending(before, word) else known.usual[word]
        for before, word in zip(sentence.parts[::2], words, strict=False)
    ] or None


def _is_ending(before: str, word: str) -> bool:
    """Whether what stands behind an apostrophe is no word of its own, as in DON'T."""
    return before in _APOSTROPHES and len(word) <= _LONGEST_ENDING


def _is_shouted(words: list[str], known: _Words) -> bool:
    """Whether words in capitals are no abbreviations, or no more than that."""
    letters = sum(len(word) for word in words if len(word) > 1)
    several = sum(len(word) > 1 for word in words) > 1
    if several and letters >= _SHORTEST_SHOUT:
        return True
    before = sum([known.counts[word] for word in words])
    after = sum([known.counts[known.usual[word]] for word in words])
    is_known = letters >= _SHORTEST_SHOUTED_WORD and after == len(words)
    return after < before and (several or is_known)


def _heading(words: list[str], known: _Words) -> list[str] | None:
    """Words in Title Case with small letters, but for the first one and names; None if all may
    be names.

    A name is a word that the vocabulary knows better with a capital, with the words beside it
    of which that cannot be told.
    """
    small = [known.small[word] for word in words]
    gains = [
        known.counts[word] - known.counts[each] for word, each in zip(words, small, strict=True)
    ]
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


def may_be_capitals(sentence: str) -> bool:
    """Whether all letters of a sentence may be capitals, marks of runs included."""
    return _SMALL_LETTER.search(sentence) is None


def letter_case(sentence: str) -> LetterCase | None:
    """How all words of a sentence are written; None where some differ, or have no case."""
    if sentence.isascii():
        if sentence.islower():
            return LetterCase.SMALL
        if sentence.isupper():
            return LetterCase.CAPITALS
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
