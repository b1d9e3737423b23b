"""Numbers that have changed places: which of two a translation has where the other one belongs.

A model that has to write two numbers may begin with the wrong one, and looks at that in the source
as it does. What it writes beside them tells: a month that is said of the 8th belongs to the 8th.
Where that does not tell, they stay where they are. Numbers in the order of the source always do:
of those that are in another one, three of four are wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations

from model.text.runs import Reading, Run
from model.text.words import Span

__all__ = ["in_order"]

_NEAR = 3
"""Tokens of the source between a number and what is said of it, at most."""
_OF_ANY_NUMBER = re.compile(r"[\d.,\s]")


def in_order(
    reading: Reading,
    spans: Sequence[tuple[int, int, int]],
    places: Sequence[range | None],
    attended: Sequence[int],
) -> Reading:
    """`reading`, whose numbers have the final strings of those that belong where they were written.

    Args:
        reading: of the source.
        spans: begin, end and run of what the search has found written.
        places: of each run, in the source.
        attended: the place in the source of each token of the target.
    """
    runs = list(reading.runs)
    free = set(range(len(attended))).difference(*(range(begin, end) for begin, end, _ in spans))
    moved: set[int] = set()
    for first, second in combinations(spans, 2):
        one, other = first[2], second[2]
        if moved & {one, other} or not _are_alike(runs[one], runs[other]):
            continue
        if runs[one].begin < runs[other].begin:
            continue
        own, others = places[one], places[other]
        if own is None or others is None:
            continue
        beside = [attended[token] for token in _beside(first[:2]) if token in free]
        votes = sum(_nearer(place, own, others) for place in beside)
        beside = [attended[token] for token in _beside(second[:2]) if token in free]
        votes += sum(_nearer(place, others, own) for place in beside)
        if votes < 0:
            runs[one], runs[other] = _as(runs[one], runs[other]), _as(runs[other], runs[one])
            moved |= {one, other}
    return reading._replace(runs=tuple(runs)) if moved else reading


def _are_alike(one: Run, other: Run) -> bool:
    """Whether both are numbers that could stand in each other's place."""
    if one.final is not None or other.final is not None or not (one.finals and other.finals):
        return False
    return not set(map(_kind, one.finals)).isdisjoint(map(_kind, other.finals))


def _kind(number: str) -> str:
    return _OF_ANY_NUMBER.sub("", number)


def _beside(span: Span) -> tuple[int, int]:
    return span[0] - 1, span[1]


def _nearer(place: int, own: range, others: range) -> int:
    """1 if a place is nearer to a number's own, -1 if to the other one's; 0 if to neither, or
    within one of them: so attends what comes before a number."""
    to_own, to_others = _distance(place, own), _distance(place, others)
    if not 0 < min(to_own, to_others) <= _NEAR:
        return 0
    return (to_own < to_others) - (to_others < to_own)


def _distance(place: int, places: range) -> int:
    return max(places.start - place, place - places.stop + 1, 0)


def _as(run: Run, other: Run) -> Run:
    """A run in whose place the other one stands."""
    finals = (
        next((each for each in other.finals if _kind(each) == _kind(final)), other.finals[0])
        for final in run.finals
    )
    return run._replace(begin=other.begin, end=other.end, finals=tuple(finals))
