"""Placeholders in pairs to train on, as sentences have them when a model is used."""

from __future__ import annotations

from collections.abc import Sequence

from model.text.protection import Bounds, Protection
from model.text.runs import Run, read
from model.text.vocabulary import PLACEHOLDERS

__all__ = ["with_placeholders"]


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
