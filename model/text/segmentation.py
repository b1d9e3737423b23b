"""A text cut into the pieces that a model translates one by one, and put together again.

Only sentences are translated. Everything between them stands in the result as it stood in the
text: white space and line breaks, list markers, emoji at a sentence's edge, numbers and addresses
that stand alone. Of what is to be kept within a sentence, model/text/protection.py takes care. With
the sentences for their own translations, the result is the text, to the character.

What the vocabulary does not know is kept as well: a sentence without any letter that it knows, and
noise, such as letters with many combining marks each. A model would make something up for it, at
the price of a token for each byte.

The cost of any text grows with its length: each character is looked at a bounded number of times.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, zip_longest
from typing import NamedTuple, Self

from model.errors import InvalidRequestError
from model.text.language_tags import base_language
from model.text.languages import Pair
from model.text.letter_case import LetterCase, Truecaser, may_be_capitals
from model.text.messages import kept_and_said, origins
from model.text.number_runs import NumberReader
from model.text.numbers.conventions import CURRENCIES
from model.text.numbers.recognition import DIGIT_LIKE
from model.text.protection import Bounds, Protection, is_mark
from model.text.runs import NO_RUNS, Reading, Run, RunReader, Runs
from model.text.sentences import (
    any_may_have_more,
    may_have_more,
    split_sentences,
    split_short,
)
from model.text.tokenizer import Tokenizer
from model.text.umlauts import UmlautReader
from model.text.verbatim import WEB_ADDRESS
from model.text.visible import may_change, visible
from model.text.vocabulary import PLACEHOLDERS
from model.text.words import Span

__all__ = ["Segment", "SegmentedText", "Segmenter"]


class Segment(NamedTuple):
    """A piece of a text that is translated by itself: a sentence, or a part of one too long."""

    text: str
    """What is translated; it neither begins nor ends with white space."""
    token_ids: tuple[int, ...]
    """`text` as the encoder reads it, with the end token and those of languages."""
    reading: Reading | None = None
    """How the encoder reads `text`; None: as it is."""


@dataclass(frozen=True, kw_only=True)
class SegmentedText:
    """A text in segments."""

    segments: tuple[Segment, ...]
    """In the text's order; none when there is nothing to translate."""
    separators: tuple[str, ...]
    """What stands before each segment, up to the one before, and is kept."""
    tail: str
    """What stands after the last segment and is kept; all of the text when there is none."""

    @classmethod
    def of(cls, pieces: Iterable[Segment | str]) -> Self:
        """What `Segmenter.pieces` has cut a text into."""
        segments: list[Segment] = []
        separators: list[str] = []
        kept = ""
        for piece in pieces:
            if isinstance(piece, str):
                kept += piece  # in place, for nothing else has it
            else:
                segments.append(piece)
                separators.append(kept)
                kept = ""
        return cls(segments=tuple(segments), separators=tuple(separators), tail=kept)

    def join(self, translations: Iterable[str]) -> str:
        """The text with its segments' translations, one for each, in their places."""
        return "".join(self.joined(translations))

    def joined(self, translations: Iterable[str]) -> Iterator[str]:
        """The parts of `join`: one for each segment, as its translation is read, and the tail."""
        for separator, translation in zip(self.separators, translations, strict=True):
            yield separator + translation
        yield self.tail


# A tab parts the columns of a table, so it ends a sentence as a line break does; so do both as
# programs write them, but in a path, or where they are what is spoken of.
_ENDS_LINE = r"[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]"
_BREAK = re.compile(
    rf"({_ENDS_LINE}+"
    r"|(?<![\\\s])(?<!\\[nrt])(?<!\b[A-Za-z]:)(?:\\[nrt])++(?![a-z{\\'\"`]))"
)
_BREAK_WITHOUT_PROGRAMS = re.compile(f"({_ENDS_LINE}{_ENDS_LINE}*)")
"""`_BREAK` of a text without backslashes: a set of characters comes first, for which `re` looks
many times as fast."""

_LINE_START = re.compile(
    r"\s*(?:>\ ?)*"  # the quoted lines of an answer
    r"(?:(?:[-*+•‣▪◦·\u2013—]{1,2}|\#{1,6}|\(?\d{1,3}(?:\.\d{1,3})*[.)]|\(?[A-Za-z]\))"
    r"[\ \u00a0\u3000]+(?:\[[\ xX]\]\ +)?)?",
    re.VERBOSE,
)
"""Indentation, and the marker of a quotation, list item, check box or heading; may be empty."""

_NO_MARKER = re.compile(r"[A-Za-z](?!\))|[^\sA-Za-z\d>\-*+#(•‣▪◦·\u2013—]")
"""The beginning of a line in which `_LINE_START` is empty."""

_SURELY_PLAIN = re.compile(r"[A-Za-z](?!\))[^.!?:;@\x7f-\U0010ffff]*")
"""A line of words with little between them: no marker, address or end of a sentence."""

_ADDRESS_OR_LETTER = re.compile(
    rf"{WEB_ADDRESS}"
    r"|(?<!\S)[^\s@]{1,64}@[^\s@]{1,255}"
    r"|(?<!\S)@\w+"
    r"|(?P<letter>[^\W\d_])",
    re.VERBOSE,
)
"""Web and mail addresses and account names, and letters (and some numbers) outside them."""

_EDGE = re.compile(
    r"[\s\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff"  # white, or no width at all
    r"\u2190-\u245f\u2500-\u2bff\U0001f000-\U0001fbff"  # arrows, pictographs, emoji
    r"\u200d\u20e3\ufe0e\ufe0f\U000e0020-\U000e007f]+"  # what joins and varies emoji
)
"""Characters that are kept, and not translated, where a sentence begins or ends."""

_FULL_WIDTH = "、」\uff0c\uff1b\uff1a\uff09"
_FULL_WIDTH_MARKS = frozenset(_FULL_WIDTH)
_BOUNDARIES = (
    # The mark first, for which `re` searches fast; no space follows full-width ones.
    (re.compile(rf"[;:,\u2013—)\]}}»”{_FULL_WIDTH}](?:(?<=[{_FULL_WIDTH}])|\s+)"), 1),
    (re.compile(r"\s+"), 0),
)
"""Where a sentence is best parted: behind a clause, or a word. With each, how many characters of a
match may stand before the part that is searched."""
_SHORT = 200
"""Characters of a sentence that is found, and looked through, within microseconds."""
_BATCH = 1000
"""Characters of short sentences that are cut together, within a millisecond or two."""
_FEW_KEPT = 8
"""Strings that are kept in a sentence and are looked at one by one, however little else it has."""
_MOST_BETWEEN = 3
"""Characters between two of more strings than that, on average, if there is nothing to say."""
_MANY_KEPT = 64
"""Strings that are kept in a sentence that may have words; more are in tables and code."""
_MOST_BETWEEN_MANY = 12
"""As `_MOST_BETWEEN`, for more than those."""
_MANY_NUMBERS = 200
"""Numbers of a sentence that may have words, if hardly more than those are between two."""
_NUMBERS = re.compile(rf"[\d{DIGIT_LIKE}]+")
_SURELY_TOO_MANY = 1.3
"""Times the most tokens of a segment: a part for which so many are expected is cut unread."""
_NEAR = 32
"""Characters around the best place to part a sentence that are searched first."""
_MOST_NOISE = 32
"""Tokens outside the vocabulary (`Tokenizer.fallback_ids`). A sentence with more, or a part of one
that was too long, is kept if they are more than three in four; or one in two, if two letters have
more than three combining marks. Fully vocalised Arabic or Hebrew has less than either."""


class Segmenter:
    """Cuts texts of one language into segments that fit a model. Safe to use from several threads.

    Args:
        tokenizer: the model's.
        language: code of the texts' language, for the rules of where sentences end.
        target: code of the language that they are translated into, for models that read it.
        max_tokens: most token ids of a segment, all that the encoder reads included.
        placeholders: whether the model was trained to read one for what is kept within a sentence.
        joined_amounts: see `NumberReader`.

    Raises:
        InvalidRequestError: `max_tokens` leaves no room for a token besides the end token and
            those of languages.
        UnsupportedLanguageError: the model must be told a language that it has no token for.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        language: str,
        target: str = "",
        max_tokens: int,
        placeholders: bool = False,
        joined_amounts: bool = True,
    ) -> None:
        self._encoder = tokenizer.source_encoder(Pair(language, target))
        least = len(self._encoder.before) + len(self._encoder.after) + 1
        if max_tokens < least:
            raise InvalidRequestError(f"`max_tokens` must be at least {least}, but is {max_tokens}")
        self._fallback_ids = tokenizer.fallback_ids
        marks = PLACEHOLDERS if tokenizer.has_placeholders else ()
        self._unknown_ids = self._fallback_ids.difference(*map(tokenizer.tokenize, marks))
        """Those of them that do not stand for what is kept."""
        self._has_letter = tokenizer.has_letter
        self._least_tokens = least
        self._language = language
        self._base_language = base_language(language)
        self._max_tokens = max_tokens
        self._truecaser = Truecaser(tokenizer.source, language)
        self._umlauts = UmlautReader(tokenizer.source) if self._base_language == "de" else None
        self._protection = Protection(tokenizer)
        self._numbers = NumberReader(
            tokenizer, source=language, target=target or language, joined=joined_amounts
        )
        self.reader = RunReader(tokenizer, placeholders=placeholders, target=target)
        """Reads what is cut, and puts the translations of segments together."""

    def segment(self, text: str) -> SegmentedText:
        """Cuts `text`.

        Raises:
            InvalidRequestError: `text` is no valid Unicode.
        """
        return SegmentedText.of(self.pieces(text))

    def pieces(self, text: str) -> Iterator[Segment | str]:
        """All of `text` in its order, for `SegmentedText.of`: what is kept as strings, which may be
        empty, what is translated as segments.

        From one to the next it takes microseconds, and some milliseconds for thousands of
        characters without the end of a sentence, so that a caller can do other things between them,
        or stop.

        Raises:
            InvalidRequestError: `text` is no valid Unicode.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidRequestError(
                f"a text must be valid Unicode, but has a lone surrogate at character {error.start}"
            ) from None
        batch = _Batch()
        lines: dict[str, Sequence[_Part]] = {}
        for piece in kept_and_said(text, self._language):
            if piece.is_kept:
                batch.parts.append((piece.text,))
                continue
            pattern = _BREAK if "\\" in piece.text else _BREAK_WITHOUT_PROGRAMS
            split = pattern.split(piece.text)
            may_have = _MayHave.of(piece.text) if len(split) > 1 else _MAY_HAVE_ALL
            for line, end in zip_longest(split[::2], split[1::2]):
                if len(line) > _SHORT:
                    for part in self._parts(line, batch, piece.number):
                        batch.parts.append(part)
                        if batch.size > _BATCH:
                            yield from self._cut_batch(batch)
                else:
                    parts = lines.get(line)
                    if parts is None:
                        parts = self._parts_of_short(line, batch, piece.number, may_have)
                        lines[line] = parts
                    batch.parts += parts
                if end:
                    batch.parts.append((end,))
                batch.size += 1
                if batch.size > _BATCH:
                    yield from self._cut_batch(batch)
        yield from self._cut_batch(batch)

    def origins(self, text: str) -> Sequence[int] | None:
        """Where in `text` each character of its pieces is from; None: from its own place."""
        return origins(text, self._language)

    def _parts_of_short(
        self, line: str, batch: _Batch, count: str, may_have: _MayHave
    ) -> Sequence[_Part]:
        """`_parts` of a short line, with less looking for what its text has nowhere.

        `may_have`: what any line of the text may have.
        """
        may_have_ends, may_have_addresses = may_have
        if count and "#" in line:
            return list(self._parts(line, batch, count))
        if may_have_ends and _SURELY_PLAIN.fullmatch(line):
            return [batch.pieces(line)]
        if not (_says_something(line) if may_have_addresses else _has_letter(line)):
            return [(line,)]
        begin = 0
        if not _NO_MARKER.match(line) and (start := _LINE_START.match(line)):
            begin = start.end()
        said = line[begin:] if begin else line
        if may_have_ends and may_have_more(said, self._base_language):
            parts = [batch.pieces(part) for part in split_short(said, self._base_language)]
        else:
            parts = [batch.pieces(said)] if said else []
        return [(line[:begin],), *parts] if begin else parts

    def _parts(self, line: str, batch: _Batch, count: str) -> Iterator[_Part]:
        """The pieces of what of a line is kept, and of its sentences, which `batch` gets to cut.

        `count`: what `#` stands for in it (`messages.Piece`).
        """
        if not _says_something(line):
            yield (line,)
            return
        start = _LINE_START.match(line)
        if start and (begin := start.end()) and not (count and "#" in start[0]):
            yield (line[:begin],)
            line = line[begin:]
        for sentence in split_sentences(line, self._language):
            if count and "#" in sentence and sentence not in batch.sentences:
                batch.counts[sentence] = count
            if len(sentence) <= _SHORT or sentence in batch.sentences:
                yield batch.pieces(sentence)
            else:
                batch.size += len(sentence)
                pieces = batch.sentences[sentence] = []
                yield self._cut_long(sentence, pieces, batch.counts)

    def _cut_batch(self, batch: _Batch) -> Iterator[Segment | str]:
        """The pieces of all parts, which leaves the batch without any."""
        if batch.short:
            self._cut_short(batch.short, batch.counts)
        parts, batch.parts, batch.short, batch.size = batch.parts, [], {}, 0
        return chain.from_iterable(parts)

    def _cut_short(self, sentences: dict[str, list[Segment | str]], counts: dict[str, str]) -> None:
        """Adds the pieces of short sentences, most of which are one segment."""
        least, most, unknown_ids = self._least_tokens, self._max_tokens, self._unknown_ids
        drafts, cores = self._drafts(sentences, counts)
        readings, texts = self._read_batch(cores, is_part=False)
        rows = self._encoder.encode_batch(texts)
        for (sentence, pieces, runs, is_said), (core, begin, _), reading, token_ids in zip(
            drafts, cores, readings, rows, strict=True
        ):
            piece: Segment | str | None
            if (
                least <= len(token_ids) <= most
                and unknown_ids.isdisjoint(token_ids)
                # The rest says something, as found out above.
                and (
                    reading is None
                    or not reading[3]
                    or (is_said and any(map(self._has_letter, token_ids)))
                )
            ):
                piece = _new(Segment, (core, token_ids, reading))
            else:
                piece = self._whole(core, reading, token_ids, is_part=False)
            if piece is None:
                pieces.extend(self._segments(sentence, runs))
            elif core is sentence:
                pieces.append(piece)
            else:
                pieces += (sentence[:begin], piece, sentence[begin + len(core) :])

    def _drafts(
        self, sentences: dict[str, list[Segment | str]], counts: dict[str, str]
    ) -> tuple[list[_Draft], list[tuple[str, int, Runs]]]:
        """The short sentences that have something to translate, and for each what of it that is,
        with where it begins and the runs in it; others are among their own pieces then."""
        drafts: list[_Draft] = []
        cores: list[tuple[str, int, Runs]] = []
        all_runs = self._runs(list(sentences), counts)
        has_addresses = _may_have_addresses("\n".join(sentences))
        for (sentence, pieces), runs in zip(sentences.items(), all_runs, strict=True):
            core, begin, kept = sentence, 0, runs
            first, last = sentence[0], sentence[-1]
            if not (
                (" " < first < "\x7f" or first.isalpha())
                and (" " < last < "\x7f" or last.isalpha())
            ):
                begin, end = _core(sentence, 0, len(sentence))
                if end - begin < len(sentence):
                    core, kept = sentence[begin:end], _within(runs, begin, end)
            is_said = first.isalpha() and not (kept and kept[0][0] <= begin)
            if not is_said:
                is_said = _has_letter_outside(core, kept, begin) if kept else _has_letter(core)
            if (
                (has_addresses and not _says_something(core))
                or not (is_said or (kept and _has_letter(core)))
                or (kept and not is_said and self._is_only_kept(core, begin, kept))
            ):
                pieces.append(sentence)
                continue
            drafts.append((sentence, pieces, runs, is_said))
            cores.append((core, begin, kept))
        return drafts, cores

    def _is_only_kept(self, core: str, begin: int, kept: Runs) -> bool:
        """Whether all of `core`, which begins at `begin` of its sentence and has no letter outside
        of what is kept, is that for certain: a mark that it has itself cannot stand for any of it.
        """
        if kept[0][2] is not None:
            return False
        if len(kept) == 1 and kept[0][0] <= begin and begin + len(core) <= kept[0][1]:
            return True
        return len(kept) + len(core) <= len(self.reader.marks)

    def _cut_long(
        self, sentence: str, pieces: list[Segment | str], counts: dict[str, str]
    ) -> Iterator[Segment | str]:
        """The pieces of a long sentence as they are found, which are added to `pieces`."""
        yield ""  # it took its time to be found
        [runs] = self._runs([sentence], counts)
        yield ""  # and what is to be kept in it
        for piece in self._segments(sentence, runs):
            pieces.append(piece)
            yield piece

    def _runs(self, sentences: Sequence[str], counts: dict[str, str]) -> Sequence[Runs]:
        """What is not the model's to translate in each of some sentences.

        `counts`: what `#` stands for in some of them.
        """
        if len(sentences) == 1 and _is_mostly_numbers(sentences[0]):
            return [[Run(0, len(sentences[0]), None, (), sentences[0])]]
        bounds = self._protection.bounds_batch(sentences)
        kept = self._kept(sentences, bounds)
        if counts:
            kept = [
                _with_count(runs, sentence, counts.get(sentence, ""))
                for sentence, runs in zip(sentences, kept, strict=True)
            ]
        text = "\n".join(sentences)
        if not self._numbers.may_have_numbers(text):
            return kept
        read_as: dict[int, str] = {} if text.isascii() else self._protection.read_as(text)
        numbers = self._numbers.runs(sentences, kept, read_as)
        if not CURRENCIES.isdisjoint(text):
            kept = [
                [self._numbers.with_units(run) for run in _outside(runs, more)]
                for runs, more in zip(kept, numbers, strict=True)
            ]
        return [
            sorted([*runs, *more]) if runs and more else more or runs
            for runs, more in zip(kept, numbers, strict=True)
        ]

    def _kept(self, sentences: Sequence[str], bounds: Sequence[Bounds]) -> list[Runs]:
        """The runs of what is kept in each of some sentences."""
        kept = [NO_RUNS] * len(sentences)
        if not self.reader.marks:
            return kept
        for number, spans in enumerate(bounds):
            if not spans:
                continue
            sentence = sentences[number]
            if len(spans) > _FEW_KEPT and _is_mostly_kept(sentence, spans):
                spans = [(0, len(sentence))]
            kept[number] = [
                _new(Run, (begin, end, None, (), sentence[begin:end], True, (), ()))
                for begin, end in spans
            ]
        return kept

    def _segments(self, sentence: str, runs: Runs) -> Iterator[Segment | str]:
        """The pieces of a sentence that may be too long."""
        saved = [0, *accumulate(map(_saved, runs))] if runs else [0]
        # In the order of the text from the last one on; parts with the tokens per character read,
        # in what they are a part of, or 0 if unknown.
        left: list[str | tuple[int, int, float]] = [(0, len(sentence), 0.0)]
        while left:
            part = left.pop()
            if isinstance(part, str):
                yield part
                continue
            first, last, density = part
            begin, end = _core(sentence, first, last)
            core = sentence[begin:end]
            if _is_all_kept(runs, begin, end) or not _says_something(core):
                yield sentence[first:last]
                continue
            if first < begin:
                yield sentence[first:begin]
            most_saved = saved[bisect_left(runs, (end,))] - saved[bisect_left(runs, (begin,))]
            if len(core) == 1 or not self._is_too_long(density, len(core) - most_saved):
                kept = self.reader.chosen(_within(runs, begin, end))
                to_read = len(core) - sum(map(_saved, kept))
                if len(core) == 1 or not self._is_too_long(density, to_read):
                    [reading], [text] = self._read_batch([(core, begin, kept)], is_part=density > 0)
                    token_ids = self._encoder.encode(text)
                    piece = self._whole(core, reading, token_ids, is_part=density > 0)
                    if piece is not None:
                        yield piece
                        if end < last:
                            yield sentence[end:last]
                        continue
                    density = len(token_ids) / to_read
            cut = _cut(sentence, begin, end, runs)
            left += (sentence[end:last], (cut, end, density), (begin, cut, density))

    def _is_too_long(self, density: float, to_read: int) -> bool:
        """Whether a part of so many characters is surely cut, which need not be read for that."""
        return density * to_read >= _SURELY_TOO_MANY * self._max_tokens

    def _read_batch(
        self, cores: Sequence[tuple[str, int, Runs]], *, is_part: bool
    ) -> tuple[list[Reading | None], list[str]]:
        """How parts of sentences are read, each with where it begins and the runs of its sentence;
        None: as it is. Then what the encoder reads of each."""
        between = _outside_of_runs(cores)
        read_as = self._protection.read_as(between)
        seen = self._shown if self._may_be_shown(between) else None
        is_written = seen is None and not read_as
        num_marks = len(self.reader.marks)
        readings: list[Reading | None] = []
        texts: list[str] = []
        for core, begin, kept in cores:
            reading: Reading | None = None
            if kept:
                if begin:
                    kept = [_new(Run, (run[0] - begin, run[1] - begin, *run[2:])) for run in kept]
                if len(kept) > num_marks:
                    kept = self.reader.chosen(kept)
                reading = self.reader.read(
                    core, kept, read_as=read_as, language=self._base_language, seen=seen
                )
            elif not is_written:
                text = core if seen is None else seen(core)
                text = text.translate(read_as) if read_as else text
                if text != core:
                    reading = Reading(text, core, language=self._base_language)
            readings.append(reading)
            texts.append(core if reading is None else reading[0])
        if places := self._may_be_cased(texts, is_part=is_part):
            self._read_cased(cores, readings, texts, places, is_part=is_part)
        return readings, texts

    def _may_be_cased(self, texts: Sequence[str], *, is_part: bool) -> Sequence[int]:
        """Which of some texts may be read in another letter case."""
        may_be_cased = may_be_capitals if is_part else self._truecaser.may_read
        return [place for place, text in enumerate(texts) if may_be_cased(text)]

    def _read_cased(
        self,
        cores: Sequence[tuple[str, int, Runs]],
        readings: list[Reading | None],
        texts: list[str],
        places: Sequence[int],
        *,
        is_part: bool,
    ) -> None:
        """Puts some of `texts`, with their readings, into the letter case that is better read."""
        some: list[tuple[str, Sequence[Span]]] = []
        for place in places:
            reading = readings[place]
            some.append((texts[place], _NO_SPANS if reading is None else _marks(reading)))
        for place, (text, case) in zip(places, self._truecaser.read_batch(some), strict=True):
            if text == texts[place]:
                continue
            # Of a part, small letters say nothing about the sentence.
            all_caps = case is LetterCase.CAPITALS
            if is_part and not all_caps:
                continue
            core = cores[place][0]
            reading = readings[place] or Reading(core, core)
            texts[place] = text
            readings[place] = _new(Reading, (text, reading[1], all_caps, *reading[3:]))

    def _shown(self, text: str) -> str:
        """What is read of a part without runs, letter case aside."""
        text = visible(text, self._base_language)
        return text if self._umlauts is None else self._umlauts.read(text)

    def _may_be_shown(self, lines: str) -> bool:
        """Whether for any of some lines `_shown` may be another one."""
        return may_change(lines, self._base_language) or (
            self._umlauts is not None and self._umlauts.may_change(lines)
        )

    def _whole(
        self, core: str, reading: Reading | None, token_ids: tuple[int, ...], *, is_part: bool
    ) -> Segment | str | None:
        """The segment, or its text if that is kept; None if it must be cut."""
        if len(token_ids) <= self._max_tokens:
            known = self._knows(core, reading, token_ids, is_part)
            return Segment(core, token_ids, reading) if known else core
        # A character of too many tokens is kept.
        return core if len(core) == 1 else None

    def _knows(
        self, text: str, reading: Reading | None, token_ids: tuple[int, ...], is_part: bool
    ) -> bool:
        """Whether the vocabulary has any of the letters, and the rest is no noise."""
        if reading is not None and reading.runs and not _has_letter_outside(text, reading.runs):
            return False
        fallback_ids = self._fallback_ids
        if fallback_ids.isdisjoint(token_ids):
            return len(token_ids) >= self._least_tokens
        before, after = len(self._encoder.before), len(self._encoder.after)
        token_ids = token_ids[before : len(token_ids) - after]
        unknown = sum(map(fallback_ids.__contains__, token_ids))
        if (is_part or unknown > _MOST_NOISE) and (
            4 * unknown > 3 * len(token_ids)
            or (2 * unknown > len(token_ids) and _is_mostly_marks(text))
        ):
            return False
        return any(map(self._has_letter, token_ids))


_new = tuple.__new__
"""Makes named tuples in half the time."""


def _outside_of_runs(cores: Iterable[tuple[str, int, Runs]]) -> str:
    """What of some cores, with where they begin in sentences, is in none of the sentences' runs: a
    line for each part."""
    parts: list[str] = []
    for core, begin, runs in cores:
        at = begin
        for run in runs:
            parts.append(core[at - begin : run[0] - begin])
            at = run[1]
        parts.append(core[at - begin :] if runs else core)
    return "\n".join(parts)


def _outside(runs: Runs, others: Runs) -> Runs:
    """Those of `runs` that are in none of the others."""
    ends = [run.end for run in others]
    places = [bisect_left(ends, run.end) for run in runs]
    return [
        run
        for run, place in zip(runs, places, strict=True)
        if place == len(others) or run.begin < others[place].begin
    ]


def _with_count(runs: Runs, sentence: str, count: str) -> Runs:
    """`runs` of a sentence, of which a sign for a number in a message is read as `count`."""
    if not count or count in sentence:
        return runs
    return [
        run._replace(read_as=count, forms=(count,)) if run.final == "#" else run for run in runs
    ]


_Part = Iterable[Segment | str]
"""The pieces of a sentence, or of what is kept between two."""
_Draft = tuple[str, list[Segment | str], Runs, bool]
"""A short sentence, its pieces, its runs, and whether it has a letter besides what is kept."""


class _MayHave(NamedTuple):
    """What any line of a text may have."""

    ends: bool
    """Ends of sentences, before its own."""
    addresses: bool

    @classmethod
    def of(cls, text: str) -> Self:
        """What `text` has anywhere."""
        return cls(ends=any_may_have_more(text), addresses=_may_have_addresses(text))


_MAY_HAVE_ALL = _MayHave(ends=True, addresses=True)


class _Batch:
    """Parts of a text that are cut together."""

    __slots__ = ("counts", "parts", "sentences", "short", "size")

    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self.short: dict[str, list[Segment | str]] = {}
        """Sentences among them whose pieces are not found yet."""
        self.size = 0
        """In characters, about."""
        self.counts: dict[str, str] = {}
        """What `#` stands for in some of the sentences."""
        self.sentences: dict[str, list[Segment | str]] = {}
        """All of the text so far: those that come again, as in tables, have the same pieces."""

    def pieces(self, sentence: str) -> list[Segment | str]:
        """The pieces of a sentence, which if it is short and new will be cut with the batch."""
        pieces = self.sentences.get(sentence)
        if pieces is None:
            pieces = self.sentences[sentence] = self.short[sentence] = []
            self.size += len(sentence)
        return pieces


_NO_SPANS: Sequence[Span] = ()


def _is_mostly_kept(sentence: str, bounds: Bounds) -> bool:
    """Whether hardly a letter stands between two strings that are kept: code, or noise, of which
    there is nothing to translate."""
    kept = sum(end - begin for begin, end in bounds)
    most = _MOST_BETWEEN if len(bounds) <= _MANY_KEPT else _MOST_BETWEEN_MANY
    return len(sentence) - kept <= most * len(bounds)


def _is_mostly_numbers(sentence: str) -> bool:
    """Whether it has so many numbers, with little between them, that it is a table or noise."""
    if len(sentence) <= 2 * _MANY_NUMBERS:
        return False
    words = _NUMBERS.split(sentence)
    between = sum(map(len, words))
    return len(words) > _MANY_NUMBERS and between <= _MOST_BETWEEN_MANY * len(words)


def _marks(reading: Reading) -> Sequence[Span]:
    """Where a mark with a letter is read for what is kept; others are single signs."""
    text, sentence, _, runs, places, *_ = reading
    if text == sentence:
        return _NO_SPANS
    return [
        place
        for place, run in zip(places, runs, strict=True)
        if run[2] is None and place[1] - place[0] > 1
    ]


def _is_all_kept(runs: Runs, begin: int, end: int) -> bool:
    """Whether the part of a sentence is within one string that is kept."""
    return (
        len(runs) == 1 and runs[0].read_as is None and runs[0].begin <= begin and end <= runs[0].end
    )


def _saved(run: Run) -> int:
    """How many characters are not read for what is kept."""
    return run.end - run.begin - 1 if run.read_as is None else 0


def _within(runs: Runs, begin: int, end: int) -> Runs:
    """The parts of `runs` between `begin` and `end`."""
    if not runs:
        return runs
    low = bisect_left(runs, (begin,))
    if low and runs[low - 1].end > begin:
        low -= 1
    parts = runs[low : bisect_left(runs, (end,))]
    if parts and (parts[0].begin < begin or parts[-1].end > end):
        return [part for run in parts if (part := _part(run, begin, end)) is not None]
    return parts


def _part(run: Run, begin: int, end: int) -> Run | None:
    """What of `run` is between `begin` and `end`; None if it is nothing without the rest."""
    if begin <= run.begin and run.end <= end:
        return run
    if run.final is None or len(run.final) != run.end - run.begin:
        return None
    first, last = max(begin, run.begin), min(end, run.end)
    final = run.final[first - run.begin : last - run.begin]
    return run._replace(begin=first, end=last, final=final)


def _has_letter_outside(text: str, runs: Runs, begin: int = 0) -> bool:
    """Whether a text has a letter besides what is kept; its first character is at `begin` for
    `runs`."""
    at = 0
    for run in runs:
        if run[2] is None:
            first = run[0] - begin
            if at < first and any(map(str.isalpha, text[at:first])):
                return True
            at = run[1] - begin
    return _has_letter(text[at:])


def _is_mostly_marks(text: str) -> bool:
    """Whether letters have more combining marks than any writing gives them."""
    return not text.isascii() and 2 * sum(map(is_mark, text)) > 3 * sum(map(str.isalpha, text))


def _may_have_addresses(text: str) -> bool:
    return "@" in text or "://" in text or "www." in text


def _has_letter(text: str) -> bool:
    return text[:1].isalpha() or any(map(str.isalpha, text))


def _says_something(text: str) -> bool:
    """Whether there are words in `text`, besides addresses."""
    # Most texts have none of these, and to look for addresses costs as much as to tokenise.
    if not _may_have_addresses(text):
        return _has_letter(text)
    return any(
        found["letter"] and found[0].isalpha() for found in _ADDRESS_OR_LETTER.finditer(text)
    )


def _core(sentence: str, begin: int, end: int) -> tuple[int, int]:
    """Where the part of `sentence[begin:end]` that is translated begins and ends."""
    if begin < end and sentence[end - 1] == " ":
        end -= 1
    if edge := _EDGE.match(sentence, begin, end):
        begin = edge.end()
    while begin < end and _EDGE.match(sentence, end - 1, end):
        end -= 1
    return begin, end


def _cut(sentence: str, begin: int, end: int, kept: Runs) -> int:
    """The best place near the middle to part `sentence[begin:end]`, two characters or more, but not
    what is to be kept in it.

    Halves are better than a full piece and a rest: a model does worst on what is only a few words.
    """
    middle, quarter = (begin + end) // 2, (end - begin) // 4
    low, high = begin + quarter, end - quarter
    window = sentence[low:high]
    # Without these there is no boundary, which takes a fraction of the search to find out.
    is_one_word = window.split() == [window] and (
        window.isascii() or _FULL_WIDTH_MARKS.isdisjoint(window)
    )
    for boundary, before in () if is_one_word else _BOUNDARIES:
        for places in _places(boundary, before, sentence, low, middle, high):
            for place in _outwards(places, middle):
                if begin < place < end and not _span_at(place, kept):
                    return place
    cut = middle
    while cut > max(begin + 1, middle - 16) and _is_one_character(sentence[cut - 1], sentence[cut]):
        cut -= 1
    edges = [edge for edge in _span_at(cut, kept) if low < edge < high]
    return min(edges, key=lambda edge: abs(edge - middle), default=cut)


def _places(
    boundary: re.Pattern[str], before: int, sentence: str, low: int, middle: int, high: int
) -> Iterator[list[int]]:
    """Where `boundary` ends in `sentence[low:high]`: first those near the middle, then all."""
    left, right = middle - _NEAR, middle + _NEAR
    if low < left and right < high:
        left = low + len(sentence[low:left].rstrip())  # white space is a boundary as a whole
        near = [m.end() for m in boundary.finditer(sentence, max(0, left - before), right)]
        yield [place for place in near if place < right]
    yield [m.end() for m in boundary.finditer(sentence, max(0, low - before), high)]


def _outwards(places: Sequence[int], middle: int) -> Iterator[int]:
    """All of `places`, which are in order: the nearest first, and of two the left one."""
    right = bisect_left(places, middle)
    left = right - 1
    while left >= 0 or right < len(places):
        if right == len(places) or (left >= 0 and middle - places[left] <= places[right] - middle):
            yield places[left]
            left -= 1
        else:
            yield places[right]
            right += 1


def _span_at(place: int, kept: Runs) -> tuple[()] | tuple[int, int]:
    """Where what is kept begins and ends, if `place` is within."""
    number = bisect_left(kept, (place,)) - 1
    return kept[number][:2] if number >= 0 and place < kept[number].end else ()


def _is_one_character(left: str, right: str) -> bool:
    """Whether a reader sees both as one: a letter and its accents, the parts of an emoji."""
    joined = right in "\u200d\ufe0e\ufe0f" or "\U0001f3fb" <= right <= "\U0001f3ff"
    return joined or left == "\u200d" or is_mark(right)
