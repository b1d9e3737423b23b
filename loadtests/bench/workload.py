"""What is translated, and when it arrives: the same for all contenders and for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from loadtests.bench.contender import BenchError
from loadtests.bench.models import (
    FIRST_FREE_ID,
    MAX_PLANNED_TOKENS,
    BenchModel,
    length_token,
)
from loadtests.corpus import DEFAULT_SENTENCES
from model.config import TransformerConfig
from model.errors import RecipeError
from model.training.text import read_pairs

__all__ = ["TextFile", "Workload", "draw_workload", "poisson_arrivals"]

MEAN_SOURCE_TOKENS = 23
"""Mean length of sources for random models, end token included: about that of newspapers."""
_LENGTH_SPREAD = 0.15
"""A planned target is as long as its source, give or take this share."""
_ROOM = 50
"""Tokens that a target may be longer than the longest source."""


@dataclass(frozen=True, kw_only=True)
class TextFile:
    """Where sentences come from."""

    path: Path | None = None
    """`source<TAB>reference` a line (.tsv, also .gz or .xz), or one text a line; None takes the
    sentences that come with the load test."""
    references: bool = False
    """Whether translations are scored against the second column."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Sources as token ids, N of them."""

    sources: tuple[tuple[int, ...], ...]
    """Each ends with the end token."""
    references: tuple[str, ...] | None
    """(N,) what each should be translated to, where that is known."""
    planned: tuple[int, ...] | None
    """(N,) target tokens, the end token included, that random weights were made to take."""
    max_new_tokens: int
    """The one limit for all targets, since not every contender can have one for each."""
    left_out: int
    """Lines longer than the model may read."""
    texts: tuple[str, ...] = ()
    """(N,) what they were made of; nothing where they are random."""


def draw_workload(model: BenchModel, text: TextFile, *, count: int | None, seed: int) -> Workload:
    """Draws `count` sentences; whole rounds of the file come before any sentence comes again.

    Trained weights get the texts. Random ones get random ids: their sources have the lengths of the
    texts, stretched to a mean of 23 tokens, and their targets follow them, +-15 %.

    Args:
        count: None takes every line once.

    Raises:
        BenchError: the file cannot be used, or has no references although they are asked for.
    """
    tokenizer = model.tokenizer()
    lines = list(_read(text))
    tokenized = [
        (*ids, tokenizer.eos_id) for ids in tokenizer.tokenize_batch([s for s, _ in lines])
    ]
    usable = [i for i, ids in enumerate(tokenized) if len(ids) <= model.max_source_tokens]
    if not usable:
        raise BenchError(
            f"{text.path} must have a text of at most {model.max_source_tokens} tokens"
        )
    generator = random.Random(seed)
    drawn = list(islice(_rounds(usable, generator), count or len(usable)))
    planned, texts = None, tuple[str, ...]()
    if model.directory is None:
        lengths = [len(tokenized[i]) for i in drawn]
        sources, planned = _random_sources(lengths, model.config, generator)
    else:
        sources = tuple(tokenized[i] for i in drawn)
        texts = tuple(lines[i][0] for i in drawn)
    return Workload(
        sources=sources,
        texts=texts,
        references=tuple(lines[i][1] for i in drawn) if text.references else None,
        planned=planned,
        max_new_tokens=min(max(map(len, sources)) + _ROOM, model.config.max_positions),
        left_out=len(tokenized) - len(usable),
    )


def poisson_arrivals(rate: float, seconds: float, *, seed: str) -> list[float]:
    """Seconds from the start, ascending, at least one; independent users, `rate` a second."""
    generator = random.Random(seed)
    arrivals = [generator.expovariate(rate)]
    while arrivals[-1] < seconds:
        arrivals.append(arrivals[-1] + generator.expovariate(rate))
    return arrivals[:-1] or arrivals


def _read(text: TextFile) -> Iterator[tuple[str, str]]:
    """(text, reference) pairs, the reference empty where there is none."""
    path = text.path or DEFAULT_SENTENCES
    if text.references and ".tsv" not in path.suffixes:
        raise BenchError(
            f"references must be the second column of a .tsv file, but the file is {path}"
        )
    try:
        if ".tsv" in path.suffixes:
            pairs = list(read_pairs(path))
        else:
            pairs = [(line, "") for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except RecipeError as error:
        raise BenchError(str(error)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"cannot read {path}: {error}") from error
    pairs = [(source.strip(), reference) for source, reference in pairs if source.strip()]
    if not pairs:
        raise BenchError(f"{path} must hold at least one text, but is empty")
    yield from pairs


def _rounds(indices: Sequence[int], generator: random.Random) -> Iterator[int]:
    while True:
        yield from generator.sample(indices, len(indices))


def _random_sources(
    lengths: Sequence[int], config: TransformerConfig, generator: random.Random
) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """Sources of these lengths, stretched to the mean, and the target lengths they ask for."""
    stretch = MEAN_SOURCE_TOKENS * len(lengths) / sum(lengths)
    sources, planned = [], []
    for length in lengths:
        # A length token, at least one word and the end token; the longest leave room for +15 %.
        source_len = min(max(3, round(length * stretch)), int(MAX_PLANNED_TOKENS / 1.15))
        ratio = generator.uniform(1 - _LENGTH_SPREAD, 1 + _LENGTH_SPREAD)
        planned.append(max(2, round(source_len * ratio)))
        words = [
            generator.randrange(FIRST_FREE_ID, config.src_vocab_size) for _ in range(source_len - 2)
        ]
        sources.append((length_token(planned[-1]), *words, config.eos_id))
    return tuple(sources), tuple(planned)
