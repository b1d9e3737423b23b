"""A sentence as runs: what of it is not the model's to translate, and where that is in the end.

A run is a string that stays as it is, a number, a term. For what stays as it is the encoder reads a
mark: a placeholder where a model has been trained with them, else a letter and a digit, which
models copy. Numbers and terms it reads as they are. Of each run the search gets a phrase
(model/decoding/run_phrases.py), which it writes once; where it has, the final string is put.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

from model.text.english_articles import article_before
from model.text.english_ordinals import with_endings
from model.text.language_tags import base_language
from model.text.tokenizer import Tokenizer
from model.text.visible import visible
from model.text.vocabulary import PLACEHOLDER, PLACEHOLDERS
from model.text.words import Span

__all__ = [
    "NO_RUNS",
    "Part",
    "Reading",
    "Rendered",
    "Replaced",
    "Run",
    "RunReader",
    "Runs",
    "read",
]

_WITHOUT_SPACES = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef"
    "\U00020000-\U0003ffff]"
)
_HALF_OF_DAY = re.compile(r"\s?(?:[ap]\.\s?m\b\.?|[ap]m\b|[AP]\.?\s?M\b\.?)")
_TELLS_HALF = re.compile(
    r"(?<=\d)\s?[AaPp]\.?[Mm]\b|[AaPp]\.\s?[Mm]\b|Morgen|morgens|(?i:früh|mittag|abend|nacht"
    r"|manhã|tarde|noite|madrugada|mañana|noche|matin|midi|soir|nuit"
    r"|mattin|pomeriggi|sera\b|nott|ochtend|middag|avond)"
)
"""Parts of the day, by which a source says which half of it is meant."""
_OPENS = r"[\"'(\[*_\u2018\u201c]"
_ARTICLE = re.compile(rf"(?<![\w'\u2019.\-/])(an?)\s+{_OPENS}*\Z", re.IGNORECASE)
"""An English one, before what stands behind it."""
_BEGINS = re.compile(rf"(?:\A\W*|{_OPENS}|[.!?:\u2026][\"')\u2019\u201d]*\s+)\Z")
"""What stands before the first word of a sentence, or of what is quoted in one."""
_ENDS_WITH_ONE = re.compile(r"(?<![\w.,:/-])1\Z")
_LONG_WORD = re.compile(r"[^\W\d_]{4,}")
"""No unit, in a number: those mean other things in capitals."""
_CLOSES = ".,;:!?)]}\u2026\u201d\u00bb"


class Run(NamedTuple):
    """A part of a sentence that is not the model's to translate."""

    begin: int
    end: int
    """Behind the last character."""
    read_as: str | None = None
    """What the encoder reads for it; None: a mark."""
    forms: tuple[str, ...] = ()
    """What the model may write for it; none: the mark."""
    final: str | None = None
    """What stands in the translation, whatever form was written; None: that form."""
    required: bool = True
    """Whether no translation ends without it."""
    finals: tuple[str, ...] = ()
    """What stands in the translation for each of `forms`; none: the form."""
    units: tuple[str, ...] = ()
    """Ways to say what each of them has, which is left out where it is said once more behind it."""


Runs = Sequence[Run]
"""In the order of the sentence, none overlapping another."""
NO_RUNS: Runs = ()


class Reading(NamedTuple):
    """A sentence as an encoder reads it."""

    text: str
    """What is tokenised."""
    sentence: str
    all_caps: bool = False
    """The translation is put into capitals."""
    runs: tuple[Run, ...] = ()
    """Those of the sentence that are read as such."""
    places: tuple[Span, ...] = ()
    """Where in `text` each is."""
    forms: tuple[tuple[str, ...], ...] = ()
    """What may be written for each."""
    language: str = ""
    """Whose abbreviations are read in full."""


class Part(NamedTuple):
    """A part of a translation."""

    begin: int
    end: int
    first: int
    """The first of the tokens that have written it."""
    last: int
    """Behind the last of them."""
    run: int | None
    """Which of the runs, if it is one."""


class Written(NamedTuple):
    """Where a target has a run: its tokens in [begin, end)."""

    begin: int
    end: int
    run: int
    """Its number; -1 for a mark of none, which is left out."""


class Replaced(NamedTuple):
    """Tokens of a target in whose place another string is put."""

    source: Span
    """What it stands for in the source."""
    final: str
    first: int
    """The first of the tokens."""
    last: int
    """Behind the last of them."""


class Rendered(NamedTuple):
    """A translation with the final strings of its runs, and where it is from."""

    text: str
    parts: tuple[Part, ...]
    """In order; white space between them is in none. What was lost has no tokens."""
    all_caps: bool = False
    """Whether all but runs is in capitals."""


class RunReader:
    """Reads sentences with runs, and puts translations together. Safe to use from several threads.

    Args:
        tokenizer: the model's.
        placeholders: whether the model was trained with them.
        target: code of the language of the translations.
    """

    def __init__(self, tokenizer: Tokenizer, *, placeholders: bool, target: str = "") -> None:
        self._tokenizer = tokenizer
        self._is_into_english = base_language(target) == "en"
        self._placeholders = PLACEHOLDERS if placeholders and tokenizer.has_placeholders else ()

    @cached_property
    def marks(self) -> tuple[str, ...]:
        """What may be read for a run, those to be taken first first; of some vocabularies none."""
        return (*self._placeholders, *self._tokenizer.stand_ins)

    def chosen(self, runs: Runs) -> Runs:
        """Those of `runs` that can be read: all, or the longest ones where there are more than
        marks."""
        if len(runs) <= len(self.marks):
            return runs
        marked = [number for number, run in enumerate(runs) if run.read_as is None]
        if len(marked) <= len(self.marks):
            return runs
        marked.sort(key=lambda number: runs[number].begin - runs[number].end)
        left_out = set(marked[len(self.marks) :])
        return [run for number, run in enumerate(runs) if number not in left_out]

    def read(
        self,
        sentence: str,
        runs: Runs,
        *,
        read_as: dict[int, str],
        language: str = "",
        seen: Callable[[str], str] | None = visible,
    ) -> Reading:
        """`sentence` as the encoder reads it.

        Args:
            sentence: without white space at its ends.
            runs: of it, as many as `chosen` lets.
            read_as: signs that the vocabulary lacks, and others that say the same.
            language: whose abbreviations `seen` reads in full, for `Reading`.
            seen: what is read of what stands between runs; None: that, for certain.
        """
        if seen is None and not read_as and _is_read_as_written(sentence, runs):
            places = tuple([run[:2] for run in runs])
            forms = tuple([run[3] for run in runs])
            return _new(Reading, (sentence, sentence, False, tuple(runs), places, forms, language))
        marks: Iterable[str] = self.marks
        has_marks = not sentence.isascii() and PLACEHOLDER.search(sentence) is not None
        if has_marks or len(runs) > len(self._placeholders):
            # What the sentence has itself would be one of its own words.
            marks = (mark for mark in self.marks if mark not in sentence)
        return read(sentence, runs, marks, read_as, language, seen)

    def rendered(
        self,
        reading: Reading,
        token_ids: Sequence[int],
        spans: Sequence[tuple[int, int, int]],
        replaced: Sequence[Replaced] = (),
    ) -> Rendered:
        """A translation, with each run's final string once: where it was written, and at the end
        what was lost.

        Args:
            reading: of the source.
            token_ids: of the target.
            spans: begin, end and run of what the search has found written.
            replaced: what else is put in the place of tokens, apart from those of `spans`.
        """
        num_own = len(reading.runs)
        if replaced:
            reading, spans = _with_replaced(reading, spans, replaced)
        surfaces = _Surfaces(self._tokenizer.surfaces(token_ids))
        found = _with_strays(surfaces, reading, spans)
        writer = _Writer(reading)
        at = 0
        for span in found:
            writer.write(surfaces, at, span.begin)
            writer.write(surfaces, span.begin, span.end, span.run)
            at = span.end
        writer.write(surfaces, at, len(token_ids))
        whole = writer.rendered({span.run for span in found}, len(token_ids))
        if replaced:
            whole = _with_single_stops(whole, num_own)
        if not self._is_into_english:
            return whole
        own = [(part.begin, part.end) for part in whole.parts if part.run is None]
        whole = whole._replace(text=with_endings(whole.text, own))
        return _with_articles(whole, num_own) if replaced else whole


def _is_read_as_written(sentence: str, runs: Runs) -> bool:
    """Whether the encoder reads for each of some runs what stands there."""
    for run in runs:  # a loop costs less than a generator
        is_written = run[3] and run[2] == sentence[run[0] : run[1]]
        if not is_written:
            return False
    return True


_new = tuple.__new__
"""Makes named tuples in half the time."""


def read(
    sentence: str,
    runs: Runs,
    marks: Iterable[str],
    read_as: dict[int, str],
    language: str = "",
    seen: Callable[[str], str] | None = visible,
) -> Reading:
    """`RunReader.read` with `marks`, in their order, as far as they go."""
    waiting = iter(marks)
    text, at = "", 0
    taken: list[Run] = []
    places: list[Span] = []
    forms: list[tuple[str, ...]] = []
    for run in runs:
        begin, end, written, own = run[:4]
        is_marked = written is None
        if written is None and (written := next(waiting, None)) is None:
            continue
        if at < begin:
            between = sentence[at:begin]
            # Of a single character of ASCII, no other one is seen.
            if seen is not None and (begin - at > 1 or not between.isascii()):
                between = _seen_behind(text, between, seen)
            text += between.translate(read_as) if read_as else between
        at = end
        if is_marked and text[-1:].isalnum():
            text += " "  # a word's pieces are others where no space stands before it
        place = len(text)
        text += written
        places.append((place, len(text)))
        if is_marked and sentence[end : end + 1].isalnum():
            text += " "
        taken.append(run)
        forms.append(own or (written,))
    if at < len(sentence):
        between = sentence[at:] if seen is None else _seen_behind(text, sentence[at:], seen)
        text += between.translate(read_as) if read_as else between
    return _new(
        Reading, (text, sentence, False, tuple(taken), tuple(places), tuple(forms), language)
    )


def _seen_behind(text: str, between: str, seen: Callable[[str], str]) -> str:
    """What is seen of what stands behind `text`: behind 1, an abbreviation is that of one."""
    return seen("1" + between)[1:] if _ENDS_WITH_ONE.search(text) else seen(between)


def _with_replaced(
    reading: Reading, spans: Sequence[tuple[int, int, int]], replaced: Sequence[Replaced]
) -> tuple[Reading, list[tuple[int, int, int]]]:
    """`reading` and `spans` with a run more for each of `replaced`."""
    more = [
        Run(*each.source, read_as="", final=each.final.upper() if reading.all_caps else each.final)
        for each in replaced
    ]
    first = len(reading.runs)
    numbered = [(each.first, each.last, first + n) for n, each in enumerate(replaced)]
    return (
        reading._replace(
            runs=(*reading.runs, *more),
            forms=(*reading.forms, *((),) * len(more)),
        ),
        sorted([*spans, *numbered]),
    )


def _with_single_stops(rendered: Rendered, first: int) -> Rendered:
    """A translation in which no full stop follows that of a run from a number on, as of `v. Chr.`
    at the end of a sentence; an ellipsis may."""
    text, parts, all_caps = rendered
    for part in reversed(parts):
        end = part.end
        if part.run is None or part.run < first or text[end - 1 : end + 1] != "..":
            continue
        if text[end + 1 : end + 2] != ".":
            text = text[:end] + text[end + 1 :]
            parts = tuple(
                each._replace(
                    begin=each.begin - (each.begin > end), end=each.end - (each.end > end)
                )
                for each in parts
            )
    return Rendered(text, parts, all_caps)


def _with_articles(rendered: Rendered, first: int) -> Rendered:
    """An English translation whose articles fit the runs from a number on, if they stand before
    one: `an apple`, where it had been `a pear`."""
    for number, part in enumerate(rendered.parts):
        if part.run is None or part.run < first:
            continue
        text, parts, all_caps = rendered
        if not number or parts[number - 1].run is not None:
            continue  # what stays as it is has no article
        before, begin, end = parts[number - 1].begin, parts[number].begin, parts[number].end
        fitting = article_before(text[begin:end])
        if fitting is None and all_caps:
            fitting = article_before(text[begin:end].lower())
        article = _ARTICLE.search(text, before, begin)
        if fitting is None or article is None or _is_letter(text, article, all_caps=all_caps):
            continue
        place, longer = article.end(1), len(fitting) - len(article[1])
        fitting = article[1][0] + (fitting[1:].upper() if all_caps else fitting[1:])
        moved = (
            each._replace(
                begin=each.begin + longer * (each.begin >= place),
                end=each.end + longer * (each.end >= place),
            )
            for each in parts
        )
        whole = text[: article.start(1)] + fitting + text[place:]
        rendered = Rendered(whole, tuple(moved), all_caps)
    return rendered


def _is_letter(text: str, article: re.Match[str], *, all_caps: bool) -> bool:
    """Whether what looks like an article is a name, as in `vitamin A`."""
    return article[1] == "A" and not all_caps and not _BEGINS.search(text, 0, article.start())


class _Surfaces:
    """What tokens write, in parts that cannot be parted: bytes of one character are one."""

    def __init__(self, surfaces: Sequence[tuple[str, int]]) -> None:
        self.texts = [text for text, _ in surfaces]
        self.tokens = [0, *accumulate(count for _, count in surfaces)]
        """The first token of each, and the number of all."""

    def text(self, first: int, last: int) -> str:
        """What the tokens from `first` up to `last` write."""
        return "".join(self.texts[slice(*self._numbers(first, last))])

    def _numbers(self, first: int, last: int) -> tuple[int, int]:
        return bisect_left(self.tokens, first), bisect_left(self.tokens, last)

    def tokens_of(self, begin: int, end: int) -> Span | None:
        """The tokens that have written the characters from `begin` up to `end`, and nothing more
        but white space before."""
        starts = [0, *accumulate(map(len, self.texts))]
        first = bisect_left(starts, begin + 1) - 1
        last = bisect_left(starts, end)
        if starts[last] != end or self.texts[first][: begin - starts[first]].strip():
            return None
        return self.tokens[first], self.tokens[last]


def _with_strays(
    surfaces: _Surfaces, reading: Reading, spans: Sequence[tuple[int, int, int]]
) -> list[Written]:
    """`spans`, and marks that the model has written besides: for runs that are left, or else for
    none (the number -1). No other text has a mark: the source has none of those that are taken."""
    traced = [Written(*span) for span in spans]
    marks = {
        forms[0]: number
        for number, (run, forms) in enumerate(zip(reading.runs, reading.forms, strict=True))
        if run.read_as is None and not run.forms
    }
    text = "".join(surfaces.texts)
    pattern = "|".join(map(re.escape, marks))
    if not text.isascii() and PLACEHOLDER.search(text):
        pattern = f"[{PLACEHOLDERS[0]}-{PLACEHOLDERS[-1]}]{'|' if pattern else ''}{pattern}"
    if not pattern:
        return traced
    taken = {span.run for span in traced}
    places = [(span.begin, span.end) for span in traced]
    strays: list[Written] = []
    for match in re.finditer(pattern, text):
        tokens = surfaces.tokens_of(*match.span())
        if tokens is None or any(tokens[0] < end and begin < tokens[1] for begin, end in places):
            continue
        number = marks.get(match[0], -1)
        strays.append(Written(*tokens, -1 if number in taken else number))
        taken.add(number)
    return sorted([*traced, *strays])


class _Writer:
    """Puts a translation together, part by part."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._text = ""
        self._parts: list[Part] = []
        self._last: int | None = None
        """The kept run that was written last, with nothing behind it."""
        self._units: tuple[str, ...] = ()
        """The units of the runs that were written last, with nothing behind them."""

    def write(self, surfaces: _Surfaces, first: int, last: int, run: int | None = None) -> None:
        """Adds what the tokens from `first` up to `last` say: free text, a run, or (-1) nothing."""
        if first == last:
            return
        text = surfaces.text(first, last)
        if run == -1:
            self._text = self._text.rstrip()
            return
        if run is None:
            text = _without_units(text, self._units)
            text = text.upper() if self._reading.all_caps else text
            last_run = self._parts[-1].run if self._parts else None
            if last_run is not None and self._text[-1:].isdecimal():
                text = _without_half(text, self._reading, last_run)
        elif (final := self._reading.runs[run].final) is not None:
            text = _with_final(text, self._reading.forms[run], final)
        elif self._reading.runs[run].finals:
            number = self._reading.runs[run]
            before = self._reading.sentence[max(0, number.begin - 1) : number.begin]
            text = _apart(self._text, _with_finals(text, number), before)
            if self._reading.all_caps:
                text = _LONG_WORD.sub(lambda word: word[0].upper(), text)
        if run is not None:
            self._units += self._reading.runs[run].units
        elif text.strip():
            self._units = ()
        self._add(text, first, last, run)

    def _add(self, text: str, first: int, last: int, run: int | None) -> None:
        left, last_kept = self._text, self._last
        # What replaces other words stands where they stood.
        is_kept = (
            run is not None
            and run < len(self._reading.places)
            and self._reading.runs[run].final is not None
        )
        final = self._reading.runs[run].final if is_kept and run is not None else None
        if final is not None and not text.lstrip().startswith(final):
            pass  # a sign of the model's own stands before it
        elif last_kept is not None and is_kept:
            text = text if left[-1:].isspace() or text[:1].isspace() else f" {text}"
        elif is_kept and run is not None:
            begin = self._reading.runs[run].begin
            beside = self._reading.sentence[max(0, begin - 1) : begin]
            left, text = _joint(left, text, beside, left.rstrip()[-1:], closing=_CLOSES)
        elif last_kept is not None:
            end = self._reading.runs[last_kept].end
            beside = self._reading.sentence[end : end + 1]
            left, text = _joint(left, text, beside, text.lstrip()[:1], closing="")
        text = text if left else text.lstrip()
        self._text = left + text
        if shown := text.strip():
            begin = len(self._text) - len(text.lstrip())
            self._parts.append(Part(begin, begin + len(shown), first, last, run))
            self._last = run if final is not None and shown.endswith(final) else None

    def rendered(self, written: set[int], num_tokens: int) -> Rendered:
        """All parts, with those that are not among `written` at the end."""
        text = self._text.rstrip()
        for number, (run, forms) in enumerate(
            zip(self._reading.runs, self._reading.forms, strict=True)
        ):
            if number in written or not run.required:
                continue
            lost = (run.finals or forms)[0] if run.final is None else run.final
            text += f" {lost}" if text else lost
            begin = len(text) - len(lost)
            self._parts.append(Part(begin, len(text), num_tokens, num_tokens, number))
        return Rendered(text, tuple(self._parts), self._reading.all_caps)


def _with_final(text: str, forms: Sequence[str], final: str) -> str:
    """`text`, which has one of `forms` and perhaps marks around it, with `final` instead."""
    for form in sorted(forms, key=len, reverse=True):
        if form in text:
            return text.replace(form, final, 1)
    return text[: len(text) - len(text.lstrip())] + final


def _without_half(text: str, reading: Reading, number: int) -> str:
    """`text`, which follows the run of a number, without an `a.m.` or `p.m.` that the source does
    not tell, or tells within that run.

    Models make it up behind an hour of 24.
    """
    found, sentence = _HALF_OF_DAY.match(text), reading.sentence
    if found is None:
        return text
    run = reading.runs[number]
    if _TELLS_HALF.search(sentence) and not _TELLS_HALF.search(sentence, run.begin, run.end):
        return text
    rest = text[found.end() :]
    ends_here = not rest.strip() and found[0].endswith(".") and sentence.endswith(".")
    return "." if ends_here else rest


def _with_finals(text: str, run: Run) -> str:
    """`text`, which has one of a run's forms, with what stands for that form."""
    for form, final in sorted(zip(run.forms, run.finals, strict=False), key=_by_length):
        if form in text:
            return text if form == final else text.replace(form, final, 1)
    return text


def _without_units(text: str, units: Sequence[str]) -> str:
    """`text` without the unit that stands before it already, if it begins with that."""
    begin = text.lstrip()
    for unit in sorted(units, key=len, reverse=True):
        if begin.startswith(unit) and not begin[len(unit) : len(unit) + 1].isalnum():
            return begin[len(unit) :]
    return text


def _apart(left: str, number: str, beside: str) -> str:
    """`number` with a space before it, where it would be one with what is on its left: a number, or
    a word where the source has none `beside` it."""
    if not number[:1].isdecimal():
        return number
    if left[-1:].isalpha() and not beside.isalpha() and not _WITHOUT_SPACES.match(left[-1]):
        return f" {number}"
    before = left.rstrip(".,:")[-1:] if left[-1:] in ".,:" else left[-1:]
    return f" {number}" if before.isdecimal() else number


def _by_length(pair: tuple[str, str]) -> int:
    return -len(pair[0])


def _joint(left: str, right: str, beside: str, other: str, *, closing: str) -> tuple[str, str]:
    """`left` and `right`, one of which is kept, with or without white space between them.

    What was joined to its kind in the source stays so: <b>5 does, 5 EUR that was EUR5 stays apart.
    What stood alone does not melt into a word.

    Args:
        left, right: parts of the translation.
        beside: what stands in the source beside what is kept, where the other part is.
        other: the sign of the other part that is beside it now.
        closing: signs behind which a space stands.
    """
    if _alike(beside, other) and not _WITHOUT_SPACES.match(beside):
        return left.rstrip(), right.lstrip()
    if not left or left[-1].isspace() or right[:1].isspace() or not other:
        return left, right
    alone = not beside.strip() or (left[-1].isalnum() and right[0].isalnum())
    if alone and (other in closing or (other.isalnum() and not _WITHOUT_SPACES.match(other))):
        return left, f" {right}"
    return left, right


def _alike(one: str, other: str) -> bool:
    """Whether both are letters, or digits and the like, or other signs, and neither is white."""
    return bool(one.strip() and other.strip()) and _kind(one) == _kind(other)


def _kind(sign: str) -> tuple[bool, bool]:
    return sign.isalpha(), sign.isnumeric()
