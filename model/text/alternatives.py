"""Several translations of a text: which differ in words, and how those of sentences combine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush

__all__ = ["best_sums", "different"]

_WORD = re.compile(r"\w+")


def different(texts: Sequence[str]) -> list[int]:
    """Which of `texts`, best first, say it in other words than all before: the first one always.

    Punctuation, white space and letter case make no other words.
    """
    seen: dict[tuple[str, ...] | str, int] = {}
    for number, text in enumerate(texts):
        seen.setdefault(tuple(_WORD.findall(text.casefold())) or text, number)
    return list(seen.values())


def best_sums(rows: Sequence[Sequence[float]], most: int) -> Iterator[list[list[int]] | None]:
    """The choices of one number of each row with the largest sums: None after each row, then they.

    It takes O(rows * most * log(most)).

    Args:
        rows: at least one number each, the largest first.
        most: choices, at least 1.

    Yields:
        At last the choices, best first: for each row, which number is taken. There are as many as
        there can be, up to `most`.
    """
    sums = [0.0]
    steps: list[list[tuple[int, int]]] = []
    for row in rows:
        best = _best_of_two(sums, row, most)
        steps.append([(left, right) for _, left, right in best])
        sums = [total for total, _, _ in best]
        yield None
    choices = []
    for place in range(len(sums)):
        choice = []
        for step in reversed(steps):
            place, number = step[place]
            choice.append(number)
        choices.append(choice[::-1])
    yield choices


def _best_of_two(
    lefts: Sequence[float], rights: Sequence[float], most: int
) -> list[tuple[float, int, int]]:
    """The largest sums of a number of each side, with the places of both."""
    if len(rights) == 1:
        return [(left + rights[0], place, 0) for place, left in enumerate(lefts)]
    waiting = [(-lefts[0] - rights[0], 0, 0)]
    found: list[tuple[float, int, int]] = []
    while waiting and len(found) < most:
        negative, left, right = heappop(waiting)
        found.append((-negative, left, right))
        if right + 1 < len(rights):
            heappush(waiting, (-lefts[left] - rights[right + 1], left, right + 1))
        if right == 0 and left + 1 < len(lefts):  # each pair once
            heappush(waiting, (-lefts[left + 1] - rights[0], left + 1, 0))
    return found
