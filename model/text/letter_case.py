"""Letter case that says nothing: sentences in capitals, in small letters, headings in Title Case.

A model has read few of them, and a word in capitals falls into many pieces. So the encoder reads
them as words are usually written, which the vocabulary knows: it has a piece for `Haus` and for
`house`, for `Berlin`, and none for `haus`, `HOUSE` or `berlin`. This is truecasing; it works for
every model, whatever it was trained on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from enum import Enum
from itertools import islice
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
_TWO_LETTERS = re.compile(r"[^\W\d_]{2}")
_TWO_WORDS = re.compile(r"[^\W\d_][\W\d_]+[^\W\d_]")
_MOST_WORDS = 15_000
"""Words that are remembered."""
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
_APOSTROPHES = frozenset("'\u2019")
_LONGEST_ENDING = 2
"""Letters of what an apostrophe joins to a word: 's, 't, 've, 'll."""
_NOUNS_ARE_CAPITALISED = frozenset({"de", "lb"})
_DOTLESS_I = frozenset({"tr", "az"})


_NO_LETTER = "\ue00f"
"""For private use."""
_BETWEEN = "\ud800"
"""Sentences that are read together: no text can hold a lone surrogate."""


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
        self._known = _KnownWords(vocabulary, dotless=base in _DOTLESS_I)

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
        if _LONG_SMALL_WORD.search(sentence):
            return False
        if _SMALL_WORD.search(sentence):
            return _TWO_LONG_WORDS.search(sentence) is not None
        # Capitals that stand alone are no words in capitals.
        return _TWO_LETTERS.search(sentence) is not None or not sentence.isupper()

    def read_batch(
        self, sentences: Sequence[tuple[str, Sequence[Span]]]
    ) -> list[tuple[str, LetterCase | None]]:
        """`read` of many sentences at once, each with its `kept`."""
        read: list[tuple[str, LetterCase | None]] = []
        small: list[str] = []
        places: list[int] = []
        others: list[tuple[int, _CasedSentence]] = []
        for place, (sentence, kept) in enumerate(sentences):
            read.append((sentence, None))
            text = _with(sentence, kept, _NO_LETTER * len(sentence)) if kept else sentence
            case = letter_case(text)
            if case is LetterCase.SMALL and not _TWO_WORDS.search(text):
                continue  # a word, of which it cannot be told
            if case is LetterCase.SMALL and not kept and _APOSTROPHES.isdisjoint(text):
                small.append(text)
                places.append(place)
            elif case is not None and (cased := self._cased(text, case)) is not None:
                others.append((place, cased))
        if small:
            for place, text in zip(places, self._read_small(small), strict=True):
                read[place] = (text, LetterCase.SMALL)
        if others:
            known = self._known({word for _, each in others for word in each.words})
            for place, cased in others:
                read[place] = _read(*sentences[place], cased, known)
        return read

    def _read_small(self, sentences: Sequence[str]) -> Iterator[str]:
        """Sentences in small letters, without apostrophes, as they are better read: all their words
        are looked up together."""
        parts = _WORD.split(_BETWEEN.join(sentences))
        words = parts[1::2]
        known = self._known(set(words))
        parts[1::2] = [known[word].usual for word in words]
        for sentence, read in zip(sentences, "".join(parts).split(_BETWEEN), strict=True):
            # As in `_read`, a capital of another word is one of the first word as well.
            is_more = read[1:] != sentence[1:] and read[0].isalnum()
            yield _capital(read) if is_more else read

    def _cased(self, sentence: str, case: LetterCase) -> _CasedSentence | None:
        """The words of a sentence whose letter case says nothing."""
        if case is LetterCase.TITLE and not (self._titles or _is_titled_sentence(sentence)):
            return None
        return _new(_CasedSentence, (case, sentence, _WORD.findall(sentence)))


_new = tuple.__new__
"""Makes named tuples in half the time."""


class _CasedSentence(NamedTuple):
    """A sentence whose letter case says nothing."""

    case: LetterCase
    text: str
    """It, without what is kept in it."""
    words: list[str]


class _Word(NamedTuple):
    """What is known of a word."""

    small: str
    """It in small letters, as long as before."""
    usual: str
    """It with small letters, or a capital first, as it has the fewest pieces by itself."""
    num_pieces: int
    num_pieces_small: int
    num_pieces_usual: int


class _KnownWords:
    """What is known of words: those that were asked for last are remembered."""

    def __init__(self, vocabulary: Vocabulary, *, dotless: bool) -> None:
        self._vocabulary = vocabulary
        self._dotless = dotless
        self._known: dict[str, _Word] = {}
        """Nothing is taken out of it: other threads read it."""

    def __call__(self, words: Set[str]) -> dict[str, _Word]:
        """What is known of each of some words."""
        known = self._known
        found = {word: known[word] for word in words if word in known}
        if len(found) == len(words):
            return found
        learnt = self._learnt(words - found.keys())
        short = {
            word: learnt[word] for word in islice(learnt, _MOST_WORDS) if len(word) <= _LONGEST_WORD
        }
        if len(known) + len(short) > _MOST_WORDS:
            self._known = short
        else:
            known |= short
        return found | learnt

    def _learnt(self, words: Set[str]) -> dict[str, _Word]:
        small = {word: self._lower(word) for word in words}
        capital = {each: _capital(each) for each in small.values()}
        counts = self._num_pieces([*{*words, *capital, *capital.values()}])
        learnt: dict[str, _Word] = {}
        for word, each in small.items():
            usual = capital[each] if counts[capital[each]] < counts[each] else each
            learnt[word] = _Word(each, usual, counts[word], counts[each], counts[usual])
        return learnt

    def _num_pieces(self, forms: Sequence[str]) -> dict[str, int]:
        """How many pieces each of some words is, alone."""
        if len(forms) < _FEWEST_TOGETHER:
            rows = [self._vocabulary.tokenize(form) for form in forms]
        else:
            rows = self._vocabulary.tokenize_batch(forms)
        return dict(zip(forms, map(len, rows), strict=True))

    def _lower(self, word: str) -> str:
        if self._dotless:
            word = word.replace("I", "\u0131").replace("\u0130", "i")
        small = word.lower()
        if len(small) == len(word):
            return small
        return "".join(sign.lower() if len(sign.lower()) == 1 else sign for sign in word)


def _read(
    sentence: str, kept: Sequence[Span], cased: _CasedSentence, known: Mapping[str, _Word]
) -> tuple[str, LetterCase | None]:
    """A sentence whose letter case says nothing as it is better read, and how it was written."""
    case, cased_text, words = cased
    better = _better_read(cased, known)
    if better is None:
        return sentence, None
    if case is LetterCase.SMALL and better == words:
        return sentence, case
    parts = _WORD.split(cased_text)
    # Whose other words have lost their capitals has lost that of the first one as well.
    if not parts[0] and (
        _is_sentence(cased) or better[1:] != [known[word].small for word in words[1:]]
    ):
        better[0] = _capital(better[0])
    parts[1::2] = better
    text = "".join(parts)
    return (_with(text, kept, sentence) if kept else text), case


def _is_sentence(sentence: _CasedSentence) -> bool:
    """Whether capitals are those of a sentence for certain, which a label would end otherwise.

    Who writes in small letters begins a sentence with one.
    """
    case, text, words = sentence
    is_long = len(words) >= _SHORTEST_SENTENCE
    return case is LetterCase.CAPITALS and is_long and text.rstrip()[-1:] in tuple(_ENDS)


def _better_read(sentence: _CasedSentence, known: Mapping[str, _Word]) -> list[str] | None:
    """The words of a sentence as they are usually written; None if they may be so already."""
    case, text, words = sentence
    if case is LetterCase.TITLE:
        return _heading(words, known)
    if case is LetterCase.CAPITALS and not _is_shouted(words, known):
        return None
    if _APOSTROPHES.isdisjoint(text):
        return [known[word].usual for word in words] or None
    return [
        known[word].small if _is_ending(before, word) else known[word].usual
        for before, word in zip(_WORD.split(text)[::2], words, strict=False)
    ] or None


def _is_ending(before: str, word: str) -> bool:
    """Whether what stands behind an apostrophe is no word of its own, as in DON'T."""
    return before in _APOSTROPHES and len(word) <= _LONGEST_ENDING


def _is_shouted(words: Sequence[str], known: Mapping[str, _Word]) -> bool:
    """Whether words in capitals are no abbreviations, or no more than that."""
    lengths = [len(word) for word in words if len(word) > 1]
    letters, several = sum(lengths), len(lengths) > 1
    if several and letters >= _SHORTEST_SHOUT:
        return True
    if not several and letters < _SHORTEST_SHOUTED_WORD:
        return False
    before = sum([known[word].num_pieces for word in words])
    after = sum([known[word].num_pieces_usual for word in words])
    return after < before and (several or after == len(words))


def _heading(words: Sequence[str], known: Mapping[str, _Word]) -> list[str] | None:
    """Words in Title Case with small letters, but for the first one and names; None if all may
    be names.

    A name is a word that the vocabulary knows better with a capital, with the words beside it
    of which that cannot be told.
    """
    small = [known[word].small for word in words]
    gains = [known[word].num_pieces - known[word].num_pieces_small for word in words]
    if max(gains) <= 0:
        return None
    read = list(words[:1])
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
