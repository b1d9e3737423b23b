"""Placeholders in pairs to train on, as sentences have them when a model is used."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from model.text.protection import Bounds, Protection
from model.text.runs import Run, read
from model.text.vocabulary import PLACEHOLDERS

__all__ = ["all_with_placeholders", "with_placeholders"]

_Pair = tuple[str, str]

_PAIRS_AT_ONCE = 2000
"""That a process takes at a time; fewer are not worth one."""


def all_with_placeholders(
    protection: Protection, pairs: Sequence[_Pair], firsts: Sequence[int], *, num_processes: int
) -> list[_Pair]:
    """`with_placeholders` of each pair, by several processes if there are many.

    Args:
        protection: finds what is kept.
        pairs: N.
        firsts: (N,) the placeholder that each begins with.
        num_processes: at most.
    """
    work = [(*pair, first) for pair, first in zip(pairs, firsts, strict=True)]
    portions = [work[at : at + _PAIRS_AT_ONCE] for at in range(0, len(work), _PAIRS_AT_ONCE)]
    read_portion = partial(_read_portion, protection)
    if num_processes == 1 or len(portions) < 2:
        return [pair for portion in portions for pair in read_portion(portion)]
    # Forked, they have the vocabulary already; what they are sent is text. Python warns of forks
    # where there are threads, but these processes need nothing that a thread may hold.
    context = multiprocessing.get_context("fork")
    count = min(num_processes, len(portions))
    with (
        warnings.catch_warnings(action="ignore", category=DeprecationWarning),
        ProcessPoolExecutor(count, context, _keep, (read_portion,)) as processes,
    ):
        return [pair for portion in processes.map(_read_kept, portions) for pair in portion]


_kept: list[Callable[[list[tuple[str, str, int]]], list[_Pair]]] = []
"""What a process of `all_with_placeholders` does, in that process."""


def _keep(read_portion: Callable[[list[tuple[str, str, int]]], list[_Pair]]) -> None:
    _kept[:] = [read_portion]


def _read_kept(portion: list[tuple[str, str, int]]) -> list[_Pair]:
    return _kept[0](portion)


def _read_portion(protection: Protection, portion: list[tuple[str, str, int]]) -> list[_Pair]:
    return [with_placeholders(protection, *each) for each in portion]


def with_placeholders(
    protection: Protection, source: str, target: str, first: int = 0
) -> tuple[str, str]:
    """Both sides with the same placeholders for the same strings; unchanged if one lacks any.

    Args:
        protection: finds what is kept.
        source, target: of the pair.
        first: the placeholder to begin with, or an earlier one if too few are left then.
    """
    bounds = [protection.bounds(side) for side in (source, target)]
    left = [source[begin:end] for begin, end in bounds[0]]
    found = [target[begin:end] for begin, end in bounds[1]]
    if not 0 < len(left) <= len(PLACEHOLDERS) or sorted(left) != sorted(found):
        return source, target
    first = min(first, len(PLACEHOLDERS) - len(left))
    marks = list(PLACEHOLDERS[first : first + len(left)])
    read_source = _read(protection, source, bounds[0], marks)
    order = []
    for text in found:
        place = left.index(text)
        order.append(marks.pop(place))
        del left[place]
    return read_source, _read(protection, target, bounds[1], order)


def _read(protection: Protection, sentence: str, bounds: Bounds, marks: Sequence[str]) -> str:
    runs = [Run(begin, end) for begin, end in bounds]
    return read(sentence, runs, marks, protection.read_as(sentence)).text
