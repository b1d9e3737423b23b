"""Variations of training pairs, so that a model bears what people really type.

Parallel text is edited text. What arrives at a service has no capitals, or nothing but capitals, no
full stop, a slip of the finger, a name that nobody has written down before. Each kind below turns
clean pairs into pairs of that sort, with the target that a reader would want.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Literal

import numpy as np

from model.text.vocabulary import PLACEHOLDERS
from model.training.lexicon import WORD, lexicon

__all__ = ["Kind", "Pair", "vary"]

Pair = tuple[str, str]
"""(source, target)."""

Kind = Literal[
    "lowercase", "uppercase", "title_case", "no_punctuation", "no_umlauts", "typos",
    "concatenate", "target_copied", "numbers", "names", "emoji",
    "placeholders",
]  # fmt: skip

_Generator = np.random.Generator

_PUNCTUATION = re.compile(r"(?<!\w)['\"]|['\"](?!\w)|[.,;:!?…](?!\w)|[„“”«»]")
_AT_THE_END = re.compile(r"\s*[.!?…]+$")
_NUMBER = re.compile(r"(?<![\w.,:])[0-9]{2,}(?![\w,:]|\.[0-9])")
_NAME = re.compile(r"(?<![\w'\u2019-])[A-ZÄÖÜ][a-zäöüß]{2,}(?![\w'\u2019-])")
_NAME_WITHIN = re.compile(rf"(?<=[a-zäöüß,] ){_NAME.pattern}")
_MONTHS = {"April", "August", "September", "November"}
"""Those that English and German write alike, like names."""
_BEGINNING_OF_WORD = re.compile(r"(?<![\w'\u2019])[^\W\d_]")
_LONG_WORD = re.compile(r"[^\W\d_]{4,}")
_WITHOUT_UMLAUTS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"}
)
_EMOJI = tuple("😀😂🙂😉😍😊😎🤔😢😭😡👍👎👏🙏💪🎉🔥⭐❤☀🌧🍕🍺🎂🐱🐶🚗✈🏠📷✅❌")
_NEIGHBOURS = {
    group[0]: group[1:]
    for group in (
        "asq", "bvn", "cxv", "dsf", "ewr", "fdg", "gfh", "hgj", "iuo", "jhk", "kjl", "lk", "mnk",
        "nbm", "oip", "po", "qwa", "ret", "sad", "try", "uyi", "vcb", "wqe", "xzc", "ytu", "zxs",
    )
}  # fmt: skip
"""Beside each letter on a keyboard."""


def vary(pairs: Sequence[Pair], kinds: Sequence[Kind], seed: Sequence[int]) -> list[Pair]:
    """Variations of `pairs`, each of `kinds` applied after the other.

    Args:
        seed: the same numbers give the same variations.

    Returns:
        At most as many pairs, all of them new, none with an empty side: what a kind has nothing to
        do to is left out.
    """
    generator = np.random.default_rng(list(seed))
    varied = list(pairs)
    for kind in kinds:
        varied = _KINDS[kind](varied, generator)
    there = set(pairs)
    return [pair for pair in varied if pair not in there and all(map(str.strip, pair))]


def _lowercase(pairs: Sequence[Pair], _: _Generator) -> list[Pair]:
    """The source loses its capitals; the target stays as it should be."""
    return [(low, target) for source, target in pairs if (low := source.lower()) != source]


def _uppercase(pairs: Sequence[Pair], _: _Generator) -> list[Pair]:
    """Both sides are shouted."""
    return [(source.upper(), target.upper()) for source, target in pairs]


def _title_case(pairs: Sequence[Pair], _: _Generator) -> list[Pair]:
    """Each word of the source begins with a capital, as in a heading; the target stays."""
    return [
        (_BEGINNING_OF_WORD.sub(lambda letter: letter[0].upper(), source), target)
        for source, target in pairs
    ]


def _no_punctuation(pairs: Sequence[Pair], _: _Generator) -> list[Pair]:
    """The source loses its punctuation marks; the target the one at its end."""
    varied = []
    for source, target in pairs:
        bare = " ".join(_PUNCTUATION.sub(" ", source).split())
        if bare and bare != source:
            varied.append((bare, _AT_THE_END.sub("", target)))
    return varied


def _typos(pairs: Sequence[Pair], generator: _Generator) -> list[Pair]:
    """About one slip of the finger in every ten words of the source, at least one."""
    varied = []
    for source, target in pairs:
        words = list(_LONG_WORD.finditer(source))
        if not words:
            continue
        slips = min(len(words), 1 + generator.poisson(len(words) / 10))
        chosen = np.sort(generator.choice(len(words), slips, replace=False))
        # From the right, so that the places of the others stay what they are.
        for index in chosen[::-1]:
            start, end = words[index].span()
            source = source[:start] + _slip(source[start:end], generator) + source[end:]
        varied.append((source, target))
    return varied


def _slip(word: str, generator: _Generator) -> str:
    at = int(generator.integers(1, len(word) - 1))
    kind = int(generator.integers(4))
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[:at] + word[at] + word[at:]
    beside = _NEIGHBOURS.get(word[at].lower(), word[at])
    return word[:at] + beside[int(generator.integers(len(beside)))] + word[at + 1 :]


def _no_umlauts(pairs: Sequence[Pair], _: _Generator) -> list[Pair]:
    """The source as it is typed where the keyboard has no umlauts."""
    return [
        (plain, target)
        for source, target in pairs
        if (plain := source.translate(_WITHOUT_UMLAUTS)) != source
    ]


def _concatenate(pairs: Sequence[Pair], _: _Generator) -> list[Pair]:
    """Two pairs as one, so that neither of two sentences in a line is lost."""
    return [
        (f"{first[0]} {second[0]}", f"{first[1]} {second[1]}")
        for first, second in zip(pairs[::2], pairs[1::2], strict=False)
    ]


def _target_copied(pairs: Sequence[Pair], _: _Generator) -> list[Pair]:
    """Text that is in the target language already stays what it is."""
    return [(target, target) for _, target in pairs]


def _numbers(pairs: Sequence[Pair], generator: _Generator) -> list[Pair]:
    """Numbers that stand on both sides become others of as many digits."""
    varied = []
    for source, target in pairs:
        if shared := _shared(_NUMBER, source, target):
            others = {number: _number_like(number, generator) for number in sorted(shared)}
            varied.append((_replaced(_NUMBER, source, others), _replaced(_NUMBER, target, others)))
    return varied


def _number_like(number: str, generator: _Generator) -> str:
    first = str(generator.integers(1, 10)) if number[0] != "0" else "0"
    return first + "".join(str(digit) for digit in generator.integers(0, 10, len(number) - 1))


def _names(pairs: Sequence[Pair], generator: _Generator) -> list[Pair]:
    """Names that stand on both sides become others of the same pairs.

    A name is what is a capitalised word in both languages, somewhere within a sentence: at its
    beginning there are others, such as "Bring" and "Hat".
    """
    known = set().union(*(_shared(_NAME_WITHIN, *pair) for pair in pairs)) - _MONTHS
    choice = sorted(known)
    varied: list[Pair] = []
    for source, target in pairs:
        if names := _shared(_NAME, source, target) & known:
            others = {name: choice[int(generator.integers(len(choice)))] for name in sorted(names)}
            varied.append((_replaced(_NAME, source, others), _replaced(_NAME, target, others)))
    return varied


def _shared(pattern: re.Pattern[str], source: str, target: str) -> set[str]:
    return set(pattern.findall(source)) & set(pattern.findall(target))


def _replaced(pattern: re.Pattern[str], text: str, others: dict[str, str]) -> str:
    return pattern.sub(lambda found: others.get(found[0], found[0]), text)


def _emoji(pairs: Sequence[Pair], generator: _Generator) -> list[Pair]:
    """One or two emoji behind both sides."""
    varied = []
    for source, target in pairs:
        count = int(generator.integers(1, 3))
        tail = "".join(_EMOJI[i] for i in generator.integers(len(_EMOJI), size=count))
        varied.append((f"{source} {tail}", f"{target} {tail}"))
    return varied


def _placeholders(pairs: Sequence[Pair], generator: _Generator) -> list[Pair]:
    """Words and the ends of sentences between placeholders, names and numbers as placeholders.

    On both sides at the same place, so that a model learns to carry them over.
    """
    translations = lexicon(pairs)
    varied: list[Pair] = []
    for pair in pairs:
        marks = iter(PLACEHOLDERS)
        for _ in range(int(generator.integers(1, 4))):
            pair = _with_placeholders(pair, translations, marks, generator)
        varied.append(pair)
    return varied


def _with_placeholders(
    pair: Pair, translations: set[Pair], marks: Iterator[str], generator: _Generator
) -> Pair:
    """`pair` with one placeholder more, or two; with none if it has no place for them."""
    source, target = pair
    form = generator.random()
    if form < 0.2:  # as a tag around the whole, an emoji behind it, a mark of an item before it
        before, behind = [(True, True), (True, False), (False, True)][int(generator.integers(3))]
        head = f"{next(marks)} " if before else ""
        tail = f" {next(marks)}" if behind else ""
        return f"{head}{source}{tail}", f"{head}{target}{tail}"
    names = form < 0.6
    anchors = [
        (left, right)
        for left, right in product(_once(source), _once(target))
        if left[0] == right[0] or (not names and (left[0], right[0]) in translations)
        if not names or not left[0].islower()
    ]
    if not anchors:
        return pair
    left, right = anchors[int(generator.integers(len(anchors)))]
    if names:
        mark = next(marks)
        return _put(source, left, mark), _put(target, right, mark)
    opening, closing = next(marks), next(marks)
    around = [f"{opening} {word[0]} {closing}" for word in (left, right)]
    return _put(source, left, around[0]), _put(target, right, around[1])


def _put(text: str, place: re.Match[str], new: str) -> str:
    return text[: place.start()] + new + text[place.end() :]


def _once(text: str) -> list[re.Match[str]]:
    """Its words that are there a single time."""
    words = list(WORD.finditer(text))
    counts = Counter(word[0] for word in words)
    return [word for word in words if counts[word[0]] == 1]


_KINDS: dict[Kind, Callable[[Sequence[Pair], _Generator], list[Pair]]] = {
    "lowercase": _lowercase,
    "uppercase": _uppercase,
    "title_case": _title_case,
    "no_punctuation": _no_punctuation,
    "no_umlauts": _no_umlauts,
    "typos": _typos,
    "concatenate": _concatenate,
    "target_copied": _target_copied,
    "numbers": _numbers,
    "names": _names,
    "emoji": _emoji,
    "placeholders": _placeholders,
}
