"""Numbers of a sentence as runs: read as they are, written as the target language writes them."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate
from string import digits as ascii_digits

from model.text.numbers import (
    Number,
    Value,
    find,
    find_spelled,
    has_digits,
    spellings,
    unit_spellings,
)
from model.text.numbers.conventions import CURRENCIES, conventions
from model.text.numbers.values import Amount, Compound, Quantity, Unchanged
from model.text.numbers.words import magnitude_names, unit_names
from model.text.runs import NO_RUNS, Run, Runs
from model.text.tokenizer import Tokenizer
from model.text.words import Span

__all__ = ["NumberReader"]

_SHORT = 24
"""Characters of a number of which it is remembered what may be written for it."""
_ANY, _NEXT = "\1", "\2"
"""What stands for the digits of any amount, and what parts its forms."""
_MOST_SPELT = 2
"""Digits of a number that may be written as a word."""
_MOST_REMEMBERED = 4096
_GOES_ON = re.compile(r"-\w")
"""Behind an amount that is a part of a word: the \u20ac50-plus."""
_Known = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""What may be written for a number, what is meant by each, and its units."""
_new = tuple.__new__
"""Makes named tuples in half the time."""


class NumberReader:
    """Finds the numbers of sentences. Safe to use from several threads.

    Args:
        tokenizer: of the model; a number that it cannot write in any form is kept as it is.
        source: code of the language of the sentences.
        target: code of the language that they are translated into.
        joined: whether amounts of money that belong together are one, with words for their zeros
            and signs.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, source: str, target: str, joined: bool = True
    ) -> None:
        self._tokenizer = tokenizer
        self._source = source
        self._target = target
        self._joined = joined
        self._writable: set[str] = set()
        """Characters of numbers, of which there are hundreds, that the vocabulary has."""
        self._unwritable: set[str] = set()
        self._amounts: dict[tuple[str, str], tuple[str, int]] = {}
        """By sign and unit: `_around`."""
        self._remembered: dict[str | tuple[str, Value], _Known] = {}

    def runs(
        self,
        sentences: Sequence[str],
        kept: Sequence[Sequence[Span] | Runs],
        read_as: dict[int, str],
    ) -> list[Runs]:
        """A run for each number of some sentences without line breaks.

        Args:
            sentences: with everything that is kept.
            kept: where that is in each of them; no run is in it. A run may have the sign of a
                currency, if there is a word for it that is read in its place.
            read_as: the signs that the encoder reads for others of the sentences.
        """
        runs: list[Runs] = [NO_RUNS] * len(sentences)
        if len(sentences) == 1:
            numbers, ends = self._found(sentences[0]), [len(sentences[0]) + 1]
        else:
            text = "\n".join(sentences)
            numbers = self._found(text, most=len(text))
            ends = [*accumulate([len(sentence) + 1 for sentence in sentences])]
        line, start, end = -1, 0, 0
        found: list[Run] = []
        spans: Sequence[Span] | Runs = ()
        place = 0
        for number in numbers:
            if number[0] >= end:
                line = bisect_right(ends, number[0], line + 1)
                start, end = ends[line] - len(sentences[line]) - 1, ends[line]
                runs[line] = found = []
                spans, place = kept[line], 0
            if spans:
                while place < len(spans) and spans[place][1] <= number[0] - start:
                    place += 1
                if place < len(spans) and spans[place][0] < number[1] - start:
                    if (
                        spans[place][0] <= number[0] - start
                        and number[1] - start <= spans[place][1]
                    ):
                        continue
                    within = spans[place : place + number[1] - number[0]]  # no more than digits
                    if (
                        named := self._with_named_currency(number, sentences[line], start, within)
                    ) is not None:
                        found.append(self._run(named, start, read_as))
                        continue
                    rest = _outside(sentences[line], number, start, self._source, within)
                    found += [self._run(part, start, read_as) for part in rest]
                    continue
            found.append(self._run(number, start, read_as))
        return runs

    def _with_named_currency(
        self, number: Number, sentence: str, start: int, kept: Iterable[Span | Run]
    ) -> Number | None:
        """An amount, in a sentence that begins at `start`, of whose characters nothing is `kept`
        but the sign of its currency, with a word in place of that; None if it is something else."""
        begin, end, text, value = number
        if not isinstance(value, Quantity | Compound | Amount) or value.unit not in CURRENCIES:
            return None
        begin, end = begin - start, end - start
        signs = [(at, at + 1) for at in range(begin, end) if sentence[at] == value.unit]
        rules = conventions(self._source)
        of_one = isinstance(value, Quantity) and value.is_one
        names = unit_names(value.unit, rules.language, of_one=of_one) if rules else ()
        if not (self._joined and names) or _GOES_ON.match(sentence, end):
            return None
        if [span[:2] for span in kept if span[0] < end] != signs:
            return None
        name = _cased_as(sentence)(names[0])
        sign = re.escape(value.unit)
        digits = re.sub(rf"{sign} ?(?=[\d.])|(?<=[\w.]) ?{sign}", "", text)
        return number._replace(text=f"{digits} {name}")

    def may_have_numbers(self, text: str) -> bool:
        """Whether sentences, one behind the other, are to be read."""
        return has_digits(text) or bool(find_spelled(text, self._source))

    def _found(self, text: str, **limit: int) -> list[Number]:
        amounts = self._joined and self._names_magnitudes
        numbers = find(text, self._source, ranges=self._joined, amounts=amounts, **limit)
        spelled = find_spelled(text, self._source)
        return sorted([*numbers, *spelled]) if spelled else numbers

    @cached_property
    def _names_magnitudes(self) -> bool:
        """Whether it is known how the target language calls a million."""
        rules = conventions(self._target)
        return rules is not None and bool(magnitude_names(rules.language))

    @cached_property
    def _keeps_digits(self) -> bool:
        """Whether the target language has ASCII's digits, and the vocabulary has them."""
        rules = conventions(self._target)
        return (rules is None or not rules.digits) and self._is_writable(ascii_digits)

    @cached_property
    def _decimal_mark(self) -> str:
        """The decimal sign of the target language, if that has ASCII's digits, with which it writes
        all numbers of nothing but a whole and a fraction; else nothing."""
        rules = conventions(self._target)
        is_plain = rules is not None and rules.decimal.isascii() and self._keeps_digits
        return rules.decimal if rules and is_plain and self._is_writable(rules.decimal) else ""

    def _decimal_form(self, value: Quantity) -> str | None:
        """How a decimal number without anything beside it is written; None if it is none, or if it
        takes more to find out."""
        whole, fraction, grouped, native, sign, thousands, unit = value
        if not fraction or grouped or native or sign or thousands or unit:
            return None
        mark = self._decimal_mark
        return f"{whole or '0'}{mark}{fraction}" if mark else None

    def with_units(self, kept: Run) -> Run:
        """What is kept, with the ways to say it if it is the sign of a currency."""
        if kept.final not in CURRENCIES:
            return kept
        amount = Number(0, 0, "", Quantity("", unit=kept.final))
        return kept._replace(units=unit_spellings(amount, self._target))

    def _run(self, number: Number, start: int, read_as: dict[int, str]) -> Run:
        """The run of a number in a sentence that begins at `start`."""
        begin, end, text, value = number
        form: str | None = None
        # Digits that every language writes as they are.
        if type(value) is Quantity:
            if text != value[0]:
                form = self._decimal_form(value)
            elif len(text) > _MOST_SPELT and self._keeps_digits:
                form = text
        elif self._keeps_digits and text.isdecimal() and text.isascii():
            form = text if type(value) is Unchanged else None
        forms, finals, units = self._known(number) if form is None else ((form,), (form,), ())
        written: str | None = text
        final = None
        if not forms:
            written, final, finals = None, finals[0], ()
        elif read_as:
            written = text.translate(read_as)
        return _new(Run, (begin - start, end - start, written, forms, final, True, finals, units))

    def _known(self, number: Number) -> _Known:
        """The forms of a number that may have several, and its units; no form if it is kept."""
        _, _, text, value = number
        # Digits alone say all of their value, and are found several times as fast.
        key = text if type(value) is Quantity and text == value[0] else (text, value)
        known = self._remembered.get(key)
        if known is None:
            units = unit_spellings(number, self._target)
            known = (*self._forms(number), units)
            if len(text) <= _SHORT and len(self._remembered) < _MOST_REMEMBERED:
                self._remembered[key] = known
        return known

    def _forms(self, number: Number) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What the model may write for a number, and what is meant by each; nothing, and what
        stands for it, if it is kept."""
        if (known := self._amount_forms(number)) is not None:
            return known
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

    def _amount_forms(self, number: Number) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """`_forms` of an amount as of any other one with its unit; None if it takes more to find
        out."""
        value, mark = number.value, self._decimal_mark
        if not (mark and isinstance(value, Quantity) and value.unit):
            return None
        whole, fraction, grouped, native, sign, thousands, unit = value
        if (
            grouped
            or native
            or thousands
            or value.is_one
            or not unicodedata.is_normalized("NFKC", number.text)
        ):
            return None
        around = self._amounts.get((sign, unit))
        if around is None:
            around = self._around(value)
            if len(self._amounts) < _MOST_REMEMBERED:
                self._amounts[sign, unit] = around
        together, num_forms = around
        if not num_forms:
            return None
        digits = f"{whole or '0'}{mark}{fraction}" if fraction else whole or "0"
        every = together.replace(_ANY, digits).split(_NEXT)
        return tuple(every[:num_forms]), tuple(every[num_forms:])

    def _around(self, value: Quantity) -> tuple[str, int]:
        """The forms of an amount, and behind them what is meant by each, with `_NEXT` between and
        `_ANY` for its digits, and the number of forms; none if the vocabulary lacks one of their
        signs, or a digit."""
        any_amount = Number(0, 0, "", value._replace(whole=_ANY, fraction=""))
        found: dict[str, str] = {}
        for spelling, final in spellings(any_amount, self._target).items():
            found.setdefault(unicodedata.normalize("NFKC", spelling), final)
        signs = {*ascii_digits, *"".join(found)} - {_ANY}
        self._is_writable("".join(signs))
        if not self._writable.issuperset(signs):
            return "", 0
        return _NEXT.join([*found, *found.values()]), len(found)

    def _is_writable(self, form: str) -> bool:
        """Whether the vocabulary has each character, or else the form."""
        if self._writable.issuperset(form):
            return True
        for sign in set(form) - self._writable:
            if sign not in self._unwritable:
                known = self._writable if self._is_known(f"1{sign}1") else self._unwritable
                known.add(sign)
        return self._writable.issuperset(form) or self._is_known(form)

    def _is_known(self, form: str) -> bool:
        return self._tokenizer.unk_id not in self._tokenizer.target.tokenize(form)


@lru_cache(maxsize=8)
def _cased_as(sentence: str) -> Callable[[str], str]:
    """Puts a word into the letter case that a whole sentence has."""
    if sentence.isupper():
        return str.upper
    return str.capitalize if sentence.istitle() else str


def _outside(
    sentence: str, number: Number, start: int, language: str, kept: Iterable[Span | Run]
) -> Iterator[Number]:
    """The numbers of what of a number of a sentence, which begins at `start`, is not kept."""
    for begin, end in _gaps(number.begin - start, number.end - start, kept):
        for part in find(sentence[begin:end], language):
            first = start + begin
            yield part._replace(begin=first + part.begin, end=first + part.end)


def _gaps(begin: int, end: int, kept: Iterable[Span | Run]) -> Iterator[Span]:
    """What of a part of a sentence is not `kept`."""
    for span in kept:
        if begin < span[0]:
            yield begin, min(span[0], end)
        begin = span[1]
        if begin >= end:
            return
    yield begin, end
