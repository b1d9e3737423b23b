"""Numbers of a sentence as runs: read as they are, written as the target language writes them."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from string import digits as ascii_digits

from model.text.numbers import Number, Value, find, spellings, unit_spellings
from model.text.numbers.conventions import CURRENCIES, conventions
from model.text.numbers.values import Quantity
from model.text.runs import NO_RUNS, Run, Runs
from model.text.tokenizer import Tokenizer
from model.text.words import Span

__all__ = ["NumberReader"]

_SHORT = 24
"""Characters of a number of which it is remembered what may be written for it."""
_MOST_SPELT = 2
"""Digits of a number that may be written as a word."""
_MOST_REMEMBERED = 4096


class NumberReader:
    """Finds the numbers of sentences. Safe to use from several threads.

    Args:
        tokenizer: of the model; a number that it cannot write in any form is kept as it is.
        source: code of the language of the sentences.
        target: code of the language that they are translated into.
    """

    def __init__(self, tokenizer: Tokenizer, *, source: str, target: str) -> None:
        self._tokenizer = tokenizer
        self._source = source
        self._target = target
        self._signs: dict[str, bool] = {}
        """Characters of numbers, of which there are hundreds, and whether they can be written."""
        self._remembered: dict[tuple[str, Value], tuple[tuple[str, ...], tuple[str, ...]]] = {}

    def runs(
        self,
        sentences: Sequence[str],
        kept: Sequence[Sequence[Span]],
        read_as: Callable[[str], dict[int, str]],
    ) -> list[Runs]:
        """A run for each number of some sentences without line breaks.

        Args:
            sentences: with everything that is kept.
            kept: where that is in each of them; no run is in it.
            read_as: the signs that the encoder reads for others of a sentence.
        """
        runs: list[Runs] = [NO_RUNS] * len(sentences)
        for place, numbers in self._found(sentences).items():
            sentence = sentences[place]
            if spans := kept[place]:
                numbers = list(_outside(sentence, numbers, self._source, spans))
            signs = read_as(sentence)
            runs[place] = [self._run(number, signs) for number in numbers]
        return runs

    def _found(self, sentences: Sequence[str]) -> dict[int, list[Number]]:
        """The numbers of those of some sentences that have any, by their places."""
        if len(sentences) == 1:
            return {0: find(sentences[0], self._source)}
        found: dict[int, list[Number]] = {}
        starts = [0, *accumulate(len(sentence) + 1 for sentence in sentences)]
        text = "\n".join(sentences)
        for begin, end, written, value in find(text, self._source, most=len(text)):
            place = bisect_right(starts, begin) - 1
            start = starts[place]
            number = Number(begin - start, end - start, written, value)
            found.setdefault(place, []).append(number)
        return found

    @cached_property
    def _keeps_digits(self) -> bool:
        """Whether the target language has ASCII's digits, and the vocabulary has them."""
        rules = conventions(self._target)
        return (rules is None or not rules.digits) and self._is_writable(ascii_digits)

    def with_units(self, kept: Run) -> Run:
        """What is kept, with the ways to say it if it is the sign of a currency."""
        if kept.final not in CURRENCIES:
            return kept
        amount = Number(0, 0, "", Quantity("", unit=kept.final))
        return kept._replace(units=unit_spellings(amount, self._target))

    def _run(self, number: Number, read_as: dict[int, str]) -> Run:
        text = number.text
        if self._is_plain(number):
            return Run(number.begin, number.end, text, (text,), finals=(text,))
        known = self._remembered.get((text, number.value))
        if known is None:
            known = self._forms(number)
            if len(text) <= _SHORT and len(self._remembered) < _MOST_REMEMBERED:
                self._remembered[text, number.value] = known
        forms, finals = known
        if not forms:
            return Run(number.begin, number.end, final=finals[0])
        text = text.translate(read_as) if read_as else text
        units = unit_spellings(number, self._target)
        return Run(number.begin, number.end, text, forms, finals=finals, units=units)

    def _is_plain(self, number: Number) -> bool:
        """Whether it is digits that every language writes as they are."""
        value = number.value
        return (
            isinstance(value, Quantity)
            and number.text == value.whole
            and len(value.whole) > _MOST_SPELT
            and self._keeps_digits
        )

    def _forms(self, number: Number) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What the model may write for a number, and what is meant by each; nothing, and what
        stands for it, if it is kept."""
        finals: dict[str, str] = {}
        spelt = spellings(number, self._target)
        for spelling, final in spelt.items():
            # As vocabularies know it: without no-break spaces and raised letters.
            form = unicodedata.normalize("NFKC", spelling)
            if form not in finals and self._is_writable(form):
                finals[form] = final
        if not finals or number.text != unicodedata.normalize("NFKC", number.text):
            return (), (next(iter(spelt.values())),)
        return tuple(finals), tuple(finals.values())

    def _is_writable(self, form: str) -> bool:
        """Whether the vocabulary has each character, or else the form."""
        signs = self._signs
        for sign in form:
            if (is_known := signs.get(sign)) is None:
                is_known = signs[sign] = self._is_known(f"1{sign}1")
            if not is_known:
                return self._is_known(form)
        return True

    def _is_known(self, form: str) -> bool:
        return self._tokenizer.unk_id not in self._tokenizer.target.tokenize(form)


def _outside(
    sentence: str, numbers: Iterable[Number], language: str, kept: Sequence[Span]
) -> Iterator[Number]:
    """The numbers of what of a sentence is not kept."""
    places = iter(kept)
    begin, end = next(places, (len(sentence), len(sentence)))
    for number in numbers:
        at = number.begin
        while end <= at:
            begin, end = next(places, (len(sentence), len(sentence) + 1))
        if number.end <= begin:
            yield number
            continue
        # What is left of a number on both sides of what is kept in it.
        while at < number.end:
            yield from _of_part(sentence, language, at, min(begin, number.end))
            at = max(at, end)
            if end >= number.end:
                break
            begin, end = next(places, (len(sentence), len(sentence) + 1))


def _of_part(sentence: str, language: str, begin: int, end: int) -> Iterator[Number]:
    for number in find(sentence[begin:end], language) if begin < end else ():
        yield number._replace(begin=begin + number.begin, end=begin + number.end)
