"""Sources that are each bound to something else: prefixes, shortlists, both, or nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from model.config import GenerationConfig
from model.decoding.phrases import GuardedTokens, Phrase
from model.decoding.sequence_options import SequenceOptions

__all__ = ["OTHER_SEARCHES", "alignment_options", "lexical_options", "random_options"]

OTHER_SEARCHES = [
    GenerationConfig(beam_size=1, max_length_factor=1.5, forced_end=True),
    GenerationConfig(
        beam_size=4, num_hypotheses=4, search="transformers", length_normalization="mean",
        length_penalty=1.0, max_new_tokens=14,
    ),
    GenerationConfig(
        beam_size=3, search="transformers", length_normalization="mean", length_penalty=0.3,
        forced_end=True, no_repeat_ngram_size=2, repetition_penalty=1.3, max_new_tokens=12,
    ),
    GenerationConfig(
        beam_size=4, num_hypotheses=4, search="marian", length_normalization="mean",
        length_penalty=1.0, max_new_tokens_over_source=12, limit_repeats=True,
    ),
]  # fmt: skip


def random_options(count: int, *, vocab_size: int = 400, seed: int = 0) -> list[SequenceOptions]:
    """Every fourth with neither of the two, the end token 2 in every shortlist."""
    generator = random.Random(seed)
    options = []
    for index in range(count):
        prefix = generator.choices(range(4, vocab_size), k=generator.randrange(1, 5))
        size = generator.choice([1, 3, 16, 17, 100, vocab_size - 1])
        tokens = np.unique([2, *generator.sample(range(vocab_size), size)]).astype(np.int32)
        options.append(
            SequenceOptions(
                target_prefix=tuple(prefix) if index % 2 else (),
                shortlist=tokens if index % 4 > 1 else None,
            )
        )
    return options


def alignment_options(sources: Sequence[Sequence[int]]) -> list[SequenceOptions]:
    """`random_options`, three of four of which ask where their targets come from."""
    generator = random.Random(1)
    options = []
    for index, (source, each) in enumerate(zip(sources, random_options(len(sources)), strict=True)):
        first = generator.randrange(len(source))
        places = range(first, generator.randrange(first, len(source)) + 1)
        options.append(replace(each, align_to=places if index % 8 > 1 else None))
    return options


def lexical_options(
    sources: Sequence[Sequence[int]],
    said: Sequence[Sequence[int]],
    *,
    vocab_size: int = 400,
    seed: int = 0,
) -> list[SequenceOptions]:
    """Phrases, guarded tokens and banned sequences, of tokens that targets have without them.

    So forms overlap with one another and with what the model says of itself.

    Args:
        sources: each with the end token 2 at its end.
        said: the target of each when nothing is asked.
        vocab_size: of the target.
        seed: of all choices.
    """
    generator = random.Random(seed)
    options = []
    for index, (source, each, target) in enumerate(
        zip(sources, alignment_options(sources), said, strict=True)
    ):
        known = [token for token in target if token != 2] or [7]
        pool = generator.choices(known, k=4) + generator.choices(range(4, vocab_size), k=2)
        guarded = generator.sample(pool, 3)
        phrases = tuple(_phrase(generator, pool, len(source)) for _ in range(index % 5))
        banned = [tuple(generator.choices(known, k=generator.randrange(1, 4))) for _ in range(3)]
        if index % 16 == 7:
            guarded = [token for token in range(vocab_size) if token != 2]
        options.append(
            replace(
                each,
                phrases=phrases,
                guarded=GuardedTokens(guarded, vocab_size, joined=guarded[:1])
                if index % 3
                else None,
                banned=tuple(banned) if index % 2 else (),
            )
        )
    return options


def _phrase(generator: random.Random, pool: Sequence[int], source_len: int) -> Phrase:
    forms = [
        tuple(generator.choices(pool, k=generator.randrange(1, 4)))
        for _ in range(generator.randrange(1, 4))
    ]
    if generator.random() < 0.3:
        forms.append((*forms[0], *generator.choices(pool, k=2)))
    first = generator.randrange(source_len)
    return Phrase(
        tuple(forms),
        places=range(first, first + 1) if generator.random() < 0.7 else None,
        required=generator.random() < 0.7,
    )
