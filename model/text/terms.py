"""Terms of a glossary in a translation: which of them it has, and where the others belong.

A model that says a term in its own words has them replaced by the form that the glossary has. Its
words are those whose tokens attend most to the term.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from model.text.glossary import TermMatch, cased, folded
from model.text.words import WITHOUT_SPACES, Span, overlapping, words

__all__ = ["PlacedTerm", "TargetText", "TermPlaces", "num_written", "term_places"]

_MOST_LETTERS = 3
"""The most letters of an article or preposition beside the word that is replaced."""


class TargetText(NamedTuple):
    """A translation before anything is replaced in it."""

    text: str
    spans: Sequence[Span]
    """Where in `text` each of its tokens is."""


class PlacedTerm(NamedTuple):
    """Where a form of a term is to be put."""

    number: int
    """Which term it is."""
    form: str
    first: int
    """The first of the tokens that it replaces."""
    last: int
    """Behind the last of them."""


class TermPlaces(NamedTuple):
    """Where the terms of a sentence are in its translation."""

    placed: list[PlacedTerm]
    """What has to be replaced, in the order of the translation, none touching another."""
    lost: list[int]
    """The numbers of those for which the translation has no place."""


def num_written(terms: Sequence[TermMatch], text: str) -> int:
    """How many of the terms a translation has in one of their forms, case aside."""
    return sum(found is not None for found in _written(terms, text))


def term_places(
    terms: Sequence[TermMatch],
    source_spans: Sequence[Span],
    attended: Sequence[int],
    target: TargetText,
    taken: Sequence[Span] = (),
    *,
    searched: Mapping[int, Span] = MappingProxyType({}),
) -> TermPlaces:
    """Where each term is, or belongs.

    Args:
        terms: of the source.
        source_spans: where in the source each of its tokens is.
        attended: the token of the source to which each of the target's attends most.
        target: what the model has written.
        taken: tokens of the target, from the first up to behind the last, that stay.
        searched: the tokens with which the search itself has written a term, by its number. Others
            may have been joined to them.
    """
    text, spans = target
    found = _written(terms, text)
    kept = [span for span in found if span is not None]
    kept += [(spans[first][0], spans[last - 1][1]) for first, last in taken if first < last]
    placed = []
    lost = []
    for number, (term, span) in enumerate(zip(terms, found, strict=True)):
        if span is None:
            own = _around(text, spans, searched.get(number), kept) or _own_words(
                term, source_spans, attended, target, kept
            )
            if own is None:
                lost.append(number)
                continue
            kept.append(own)
            form = _fitting(term, text[slice(*own)])
        elif term.said is not None and number not in searched:
            continue  # as the model has chosen to say it, a name perhaps
        else:
            own = span
            form = _of_written(term, text[slice(*own)])
        form = cased(form, term.case, first=_begins(text, own[0]) and not term.entry.case_sensitive)
        tokens = overlapping(spans, *own)
        if not tokens:
            continue
        whole = text[spans[tokens.start][0] : spans[tokens.stop - 1][1]].strip()
        # What was searched for stands behind words that were chosen for others, too.
        if form != text[slice(*own)] or (number in searched and form == whole):
            placed.append(PlacedTerm(number, form, tokens.start, tokens.stop))
    placed.sort(key=lambda each: each.first)
    apart = _apart(placed)
    lost += [each.number for each in placed if each not in apart and found[each.number] is None]
    return TermPlaces(apart, lost)


def _around(
    text: str, spans: Sequence[Span], tokens: Span | None, kept: Iterable[Span]
) -> Span | None:
    """The words that some tokens are of, if they are nobody else's."""
    if tokens is None:
        return None
    said = words(text)
    within = overlapping(said, spans[tokens[0]][0], spans[tokens[1] - 1][1])
    if not within:
        return None
    begin, end = said[within.start][0], said[within.stop - 1][1]
    return None if any(begin < right and left < end for left, right in kept) else (begin, end)


def _written(terms: Sequence[TermMatch], text: str) -> list[Span | None]:
    """Where each term is written in one of its forms, the longest first; each place once."""
    found: list[Span | None] = []
    covered = bytearray(len(text))
    for term in terms:
        places = (span for span in _all_occurrences(term, text) if not any(covered[slice(*span)]))
        place = next(places, None)
        if place is not None:
            covered[slice(*place)] = b"\1" * (place[1] - place[0])
        found.append(place)
    return found


def _all_occurrences(term: TermMatch, text: str) -> Iterator[Span]:
    if term.said is not None:
        yield from (match.span() for match in term.said.finditer(text))
        return
    for form in sorted(term.entry.targets, key=len, reverse=True):
        yield from _occurrences(form, text)


def _occurrences(form: str, text: str) -> Iterator[Span]:
    before = r"(?<!\w)" if _has_bounds(form[:1]) else ""
    behind = r"(?!\w)" if _has_bounds(form[-1:]) else ""
    pattern = before + re.escape(form) + behind
    return (match.span() for match in re.finditer(pattern, text, re.IGNORECASE))


def _has_bounds(sign: str) -> bool:
    """Whether a word with it must be apart from other letters."""
    return sign.isalnum() and not WITHOUT_SPACES.match(sign)


def _own_words(
    term: TermMatch,
    source_spans: Sequence[Span],
    attended: Sequence[int],
    target: TargetText,
    kept: Iterable[Span],
) -> Span | None:
    """The words of the translation that say the term; None if there are none."""
    text, spans = target
    places = set(overlapping(source_spans, term.begin, term.end))
    said = words(text)
    votes = [0] * len(said)
    for span, place in zip(spans, attended, strict=True):
        if place in places:
            for word in overlapping(said, *span):
                votes[word] += 1
    for span in kept:
        for word in overlapping(said, *span):
            votes[word] = 0
    groups = [
        group
        for group in _groups(votes)
        if any(map(str.isalnum, text[said[group[0]][0] : said[group[-1]][1]]))
    ]
    if not groups:
        return None

    def length(group: Sequence[int]) -> int:
        return sum(said[word][1] - said[word][0] for word in group)

    group = max(groups, key=length)
    first, last = group[0], group[-1]
    # Signs first: of "red," a word of three letters is left.
    while first < last and _is_sign(text, said[first]):
        first += 1
    while first < last and _is_sign(text, said[last]):
        last -= 1
    while first < last and _is_small(text, said[first]):
        first += 1
    while first < last and _is_small(text, said[last]):
        last -= 1
    return said[first][0], said[last][1]


def _groups(votes: Sequence[int]) -> list[list[int]]:
    """The words with votes, those that follow each other together."""
    groups: list[list[int]] = []
    for word, count in enumerate(votes):
        if count and groups and groups[-1][-1] == word - 1:
            groups[-1].append(word)
        elif count:
            groups.append([word])
    return groups


def _is_small(text: str, span: Span) -> bool:
    """Whether it is a sign, or an article and the like."""
    word = text[slice(*span)]
    if _is_sign(text, span):
        return True
    return len(word) <= _MOST_LETTERS and (word.islower() or _begins(text, span[0]))


def _is_sign(text: str, span: Span) -> bool:
    return not any(map(str.isalnum, text[slice(*span)]))


def _fitting(term: TermMatch, own: str) -> str:
    """The form whose ending is most like that of the model's own word."""
    own = folded(own)[0]

    def likeness(form: str) -> int:
        other = folded(form)[0]
        if ("'" in own) != ("'" in other):  # -'s is another ending than -s
            return 0
        length = 0
        while length < min(len(own), len(other)) and own[-1 - length] == other[-1 - length]:
            length += 1
        return length

    return max(term.entry.targets, key=likeness)


def _of_written(term: TermMatch, written: str) -> str:
    """The form that is written, as the entry has it."""
    same = [form for form in term.entry.targets if form.casefold() == written.casefold()]
    return written if written in same else same[0] if same else written


def _begins(text: str, place: int) -> bool:
    """Whether it is where a sentence begins, with a capital."""
    return text[place].isupper() and not any(map(str.isalnum, text[:place]))


def _apart(placed: Iterable[PlacedTerm]) -> list[PlacedTerm]:
    apart: list[PlacedTerm] = []
    for each in placed:
        if not apart or apart[-1].last <= each.first:
            apart.append(each)
    return apart
