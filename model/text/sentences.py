"""Where one sentence of a line ends and the next begins.

The rules are those of sentencex, which knows about 300 languages, keeps every character and costs
microseconds a sentence. Four things are put right on top: its cost, which grows with the square of
the length for some quotation marks; long quotations, which it never splits; full stops inside names
(`System.Out`); and, for the languages of model/text/abbreviations.py, abbreviations that it does
not know and words that it takes for abbreviations. Text with which it fails is one sentence.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import accumulate, chain, pairwise

import sentencex  # type: ignore[import-untyped]

from model.text.abbreviations import Corrections, corrections_of, is_numbered
from model.text.language_tags import base_language

__all__ = [
    "any_may_have_more",
    "may_have_more",
    "split_sentences",
    "split_short",
]

_WINDOW = 4000
"""Characters looked at together. A longer sentence has to be split for its length anyway."""
_SMALL_WINDOW = 1000
_MANY_SENTENCES = 100
"""Sentences of a small window. They are looked for in that alone: where characters have several
bytes, the cost of sentencex grows with the square of their number."""
_MOST_MARKS = 50
"""Quotation marks in a window, of the kinds whose number times its length sentencex costs."""
_LONG_QUOTATION = 200
"""A sentence with more characters is also split where a sentence inside its quotation marks or
brackets ends; shorter ones are better off as a whole, with both of their marks."""


_OPENING_MARK = re.compile(r"(?<!\S)[\"“”„«»\u2018\u2019(\[]")
_CLOSING_MARK = re.compile(r"(?<=\S)[\"“”«»)\]]")
_MARKS = "'`\u2018\u201a\u201c\u201e\xab\xbb\u2039\u300a\u300c"
_FEW_MARKS = re.compile(rf"(?:[^{_MARKS}]*[{_MARKS}]){{0,{_MOST_MARKS}}}[^{_MARKS}]*")
_LAST_WORD = re.compile(r"(?<!\w)([^\W\d_]+)\.\s+$")
_LAST_ORDINAL = re.compile(r"(?<![\w.,:])\d{1,2}\.\s+$")
_STOP_AND_GAP = re.compile(r"\.\s+(?=[^\W\d_])")
_CODE = re.compile(r"[A-Z0-9/-]{0,12}[0-9]")
"""Behind which `no.` is a number."""
_DAY_BEFORE = re.compile(r"\d\.?\s\Z")
_CAPITALISED = re.compile(r"[^\W\d_]+")
_WORD_BEFORE = re.compile(r"(?<!\w)[^\W\d_]+\Z")
_WIDE_SPACE_BEFORE_STOP = re.compile(r"\.(?<=[^\S\x00-\x7f]\.)")
_WIDE_SPACE_BEHIND_CAPITAL = re.compile(r"([A-Z.]\s*)[^\S\x00-\x7f](?=\.)")
"""White space of several bytes before a full stop: sentencex fails with it behind a capital, or
behind another stop."""
_LOOK_BACK = 40
"""Characters before a boundary that are enough to know an abbreviation."""


_STOPS = (
    "\u0589\u061d-\u061f\u06d4\u0700-\u0702\u07f9\u0837\u0839\u083d\u083e\u0964\u0965\u104a\u104b\u104f"
    "\u055c\u1362\u1367\u1368\u166e\u1735\u1736\u1803\u1809\u1944\u1945\u1aa8-\u1aab\u1b5a\u1b5b\u1b5e\u1b5f"
    "\u1b7d\u1b7e\u1c3b\u1c3c\u1c7e\u1c7f\u2024\u2026\u203c\u203d\u2047-\u2049\u2e2e\u2e3c\u2e53\u2e54\u3002\ua4ff"
    "\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce\ua8cf\ua92f\ua9c8\ua9c9\uaa5d-\uaa5f\uaaf0\uaaf1\uabeb"
    "\ufe52\ufe56\ufe57\uff01\uff0e\uff1f\uff61\U00010a00-\U00010fff\U00011000-\U00011fff"
    "\U00016a00-\U00016fff\U0001bc00-\U0001bcff\U0001da00-\U0001daff"
)
"""Signs with which sentencex may end a sentence, or that are near them, besides those of ASCII."""
_MAY_END_ASCII = re.compile(r"[.!?;:](?=[^\w\s]*\s)")
_MAY_END = re.compile(rf"[.!?;:{_STOPS}](?:(?<![.!?;:])|(?=[^\w\s]*(?:\s|[^\x00-\x7f])))")
"""Without this, a short line is one sentence. Colons and semicolons may end some in Armenian and
Greek."""
_ANY_MAY_END = re.compile(rf"[.!?;:{_STOPS}](?:(?<![.!?;:])|(?![A-Za-z0-9_]))")
"""Without this, no line of a text has one of `_MAY_END`; each character is looked at once."""
_WITH_OTHER_STOPS = frozenset(("el", "hy"))


def may_have_more(line: str, language: str) -> bool:
    """Whether a short line may be more than one sentence."""
    pattern = _MAY_END_ASCII if line.isascii() else _MAY_END
    found = pattern.search(line)
    if found is not None and found[0] in ":;" and language not in _WITH_OTHER_STOPS:
        return any(match[0] not in ":;" for match in pattern.finditer(line, found.end()))
    return found is not None


def any_may_have_more(lines: str) -> bool:
    """Whether any short line of a text may be more than one sentence."""
    return _ANY_MAY_END.search(lines) is not None


def split_sentences(line: str, language: str) -> Iterable[str]:
    """The sentences of `line`, each with the white space after it; joined they are `line`.

    They are looked for as they are asked for, a few thousand characters at a time.

    Args:
        line: valid Unicode without line breaks.
        language: the code of its language; only the part before a "-" or "_" counts, and a language
            without rules of its own is split by those that most have in common.
    """
    if not line:
        return []
    language = base_language(language)
    if len(line) > _LONG_QUOTATION:
        return _sentences(line, language, corrections_of(language))
    return split_short(line, language) if may_have_more(line, language) else [line]


def split_short(line: str, language: str) -> Iterable[str]:
    """`split_sentences` of a short line that may have more, by a code without script or region."""
    corrections = corrections_of(language)
    if not _has_few_marks(line):
        return _sentences(line, language, corrections)
    # As `_sentences`, but at once, which costs less.
    pieces = _pieces(line, language)
    ends = [len(line)]
    if len(pieces) > 1:
        found = _ends_of_pieces(pieces, line, language)
        ends = [end for end in found if not _continues(line, end, corrections)]
    if corrections.words and "." in line and (more := [*_ends_of_words(line, corrections)]):
        ends = sorted({*ends, *more})
    if len(ends) == 1:
        return [line]
    return [line[start:end] for start, end in pairwise([0, *ends]) if start < end]


def _pieces(text: str, language: str) -> Sequence[str]:
    """What sentencex cuts `text` into."""
    if text.isascii() or not _WIDE_SPACE_BEFORE_STOP.search(text):
        return _found_pieces(text, language)
    pieces = _found_pieces(_WIDE_SPACE_BEHIND_CAPITAL.sub(r"\1 ", text), language)
    ends = list(accumulate(map(len, pieces)))
    return [text[start:end] for start, end in pairwise([0, *ends])]


def _found_pieces(text: str, language: str) -> Sequence[str]:
    try:
        pieces: list[str] = sentencex.segment(language, text)
    except BaseException as error:
        # Of Rust, by which it is no Exception, so that it would end whoever called.
        if type(error).__name__ != "PanicException":
            raise
        return [text]
    return pieces


def _has_few_marks(line: str) -> bool:
    return len(line) <= _MOST_MARKS or sum(map(line.count, _MARKS)) <= _MOST_MARKS


def _sentences(line: str, language: str, corrections: Corrections) -> Iterator[str]:
    ends: Iterator[int] = (
        end for end in _ends(line, language) if not _continues(line, end, corrections)
    )
    if corrections.words and "." in line:
        more = _ends_of_words(line, corrections)
        # Of a long line the first ends are wanted before the last ones are found.
        ends = merge(ends, more) if len(line) > _WINDOW else iter(sorted([*ends, *more]))
    start = 0
    for end in chain(ends, [len(line)]):
        if end > start:
            yield line[start:end]
            start = end


def _ends_of_words(line: str, corrections: Corrections) -> Iterator[int]:
    """Where a sentence ends with what sentencex or the corrections take for an abbreviation."""
    for gap in _STOP_AND_GAP.finditer(line):
        begin, end = gap.span()
        if not (line[end].isupper() and line[begin - 1].isalpha()):
            continue
        word = _WORD_BEFORE.search(line[max(0, begin - _LOOK_BACK) : begin])
        if word is None:
            continue
        start = begin - len(word[0])
        if word[0] in corrections.words:
            is_number = word[0] == "no" and _CODE.match(line, end) and is_numbered(line, start)
            if not is_number:
                yield end
        elif word[0] in corrections.months and _DAY_BEFORE.search(
            line, max(0, start - _LOOK_BACK), start
        ):
            yield end
        elif word[0] in corrections.units:
            following = _CAPITALISED.match(line, end)
            if following and following[0] in corrections.beginnings:
                yield end


def _ends(line: str, language: str) -> Iterator[int]:
    """Where sentencex ends a sentence, asked a window at a time: the cost grows with the length."""
    start, short = 0, False
    while start < len(line):
        window = _window(line, start, language)
        ends = _ends_in_window(window, language)
        is_last = start + len(window) >= len(line)
        if len(ends) > 1 and not is_last and not (short and ends[-2] < len(window) // 2):
            ends = ends[:-1]  # the window may have cut it short: the next one sees it whole
        is_found = is_last or len(window) in (_WINDOW, _SMALL_WINDOW)
        yield from (start + end for end in ends if is_found or end < len(window))
        start += ends[-1]
        short = ends[-1] < len(window) // 2  # not twice in a row, or there were many windows


def _window(line: str, start: int, language: str) -> str:
    window = line[start : start + _WINDOW]
    if not _has_few_marks(window) and (few := _FEW_MARKS.match(window)):
        window = few[0]
    if len(window) > _SMALL_WINDOW and not window.isascii():
        small = window[:_SMALL_WINDOW]
        if len(_pieces(small, language)) > _MANY_SENTENCES:
            return small
    return window


def _ends_in_window(window: str, language: str) -> list[int]:
    return _ends_of_pieces(_pieces(window, language), window, language)


def _ends_of_pieces(pieces: Sequence[str], window: str, language: str) -> list[int]:
    if len(pieces) == 1 and len(window) <= _LONG_QUOTATION:
        return [len(window)]
    ends = list(accumulate(map(len, pieces)))
    if "".join(pieces) != window:
        return [len(window)]
    for start, end in pairwise([0, *ends] if len(window) > _LONG_QUOTATION else ()):
        if end - start > _LONG_QUOTATION:
            # Stand-ins that mark no quotation; an apostrophe may follow a full stop.
            unmarked = _CLOSING_MARK.sub("\u2019", _OPENING_MARK.sub("_", window[start:end]))
            within = accumulate(map(len, _pieces(unmarked, language)))
            ends.extend(start + length for length in within)
    return sorted(set(ends))


def _continues(line: str, end: int, corrections: Corrections) -> bool:
    """Whether the sentence goes on after `end`, against what sentencex believes."""
    if end == len(line):
        return False
    last = line[end - 1]
    if not last.isspace():
        # Scripts that write sentences without a space between them have stops of their own.
        own_stop = unicodedata.category(last) in ("Po", "Pe") and not last.isascii()
        return not own_stop
    before, after = line[max(0, end - _LOOK_BACK) : end], line[end]
    stopped = before.rstrip()[-2:]
    if stopped[1:] != ".":
        return False
    if stopped[0].isalpha() and (word := _LAST_WORD.search(before)):
        return corrections.continue_after(word[1], after)
    return corrections.ordinals and after.isupper() and bool(_LAST_ORDINAL.search(before))
