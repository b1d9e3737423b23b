"""Search by the rules of transformers against its `generate`, on random Marian models."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import pytest
import torch

from model.config import GenerationConfig
from model.decoding.reference import generate, pad_sources
from model.decoding.search import FinishReason, Hypothesis
from model.decoding.sequence_options import NO_OPTIONS, SequenceOptions
from model.network.transformer import Transformer
from tests.tiny_model import tiny_transformer
from tests.transformers_models import to_transformers

EOS, LIMIT, NUM_SOURCES = 2, 16, 200
SHAPES: list[dict[str, Any]] = [
    {"seed": 1},
    {"seed": 2, "num_decoder_layers": 1, "d_model": 24, "num_heads": 3, "vocab_size": 37},
]


@cache
def sharp_transformer(**shape: Any) -> Transformer:
    """Random, rather sure of what it says, and as ready to end as to go on."""
    transformer = tiny_transformer(projection_bias=True, tied_projection=False, **shape)
    with torch.no_grad():
        transformer.projection.weight *= 6
        transformer.projection.bias[EOS] = 5.0
    return transformer


def random_sources(vocab_size: int) -> list[list[int]]:
    generator = random.Random(0)
    return [
        [*(generator.randrange(4, vocab_size) for _ in range(generator.randrange(0, 9))), EOS]
        for _ in range(NUM_SOURCES)
    ]


def theirs(
    model: Transformer, sources: list[list[int]], generation: GenerationConfig, prefix: int | None
) -> list[list[tuple[list[int], float | None]]]:
    """For each source its hypotheses: tokens up to the end, and the score, which greedy has not."""
    src_tokens, lengths = pad_sources(sources, model.config.pad_id)
    frame: Any = to_transformers(model)
    beam = generation.beam_size > 1
    with torch.inference_mode():
        found = frame.generate(
            input_ids=src_tokens,
            attention_mask=(torch.arange(src_tokens.size(1)) < lengths[:, None]).long(),
            num_beams=generation.beam_size,
            num_return_sequences=generation.num_hypotheses,
            max_new_tokens=generation.max_new_tokens,
            do_sample=False,
            forced_bos_token_id=prefix,
            forced_eos_token_id=EOS if generation.forced_end else None,
            return_dict_in_generate=True,
            output_scores=True,
            **(
                {"early_stopping": False, "length_penalty": generation.length_penalty}
                if beam
                else {}
            ),
        )
    rows = [row[1:] for row in found.sequences.tolist()]
    targets = [row[: row.index(EOS)] if EOS in row else row for row in rows]
    scores = found.sequences_scores.tolist() if beam else [None] * len(rows)
    each = list(zip(targets, scores, strict=True))
    count = generation.num_hypotheses
    return [each[first : first + count] for first in range(0, len(each), count)]


def check(
    ours: list[tuple[Hypothesis, ...]],
    wanted: list[list[tuple[list[int], float | None]]],
    prefix: tuple[int, ...],
) -> None:
    for mine, other in zip(ours, wanted, strict=True):
        assert [[*prefix, *h.token_ids] for h in mine] == [tokens for tokens, _ in other]
        for hypothesis, (_, score) in zip(mine, other, strict=True):
            assert score is None or hypothesis.score == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("shape", SHAPES, ids=["shape", "another shape"])
@pytest.mark.parametrize(
    ("search", "prefix"),
    [
        ({"beam_size": 1}, None),
        ({"beam_size": 1, "forced_end": True}, 7),
        ({"beam_size": 4, "length_penalty": 1.0}, None),
        ({"beam_size": 4, "length_penalty": 0.6, "num_hypotheses": 4}, 7),
        ({"beam_size": 4, "length_penalty": 2.0, "num_hypotheses": 4, "forced_end": True}, None),
        ({"beam_size": 3, "length_penalty": 1.5, "forced_end": True}, 9),
    ],
    ids=str,
)
def test_tokens_and_scores_are_those_of_generate(shape, search, prefix: int | None) -> None:
    model = sharp_transformer(**shape)
    sources = random_sources(model.config.src_vocab_size)
    generation = GenerationConfig(
        search="transformers", length_normalization="mean", max_new_tokens=LIMIT, **search
    )
    forced = () if prefix is None else (prefix,)
    options = [SequenceOptions(target_prefix=forced)] * len(sources)
    wanted = theirs(model, sources, generation, prefix)
    ours = generate(model, sources, generation, options)
    check(ours, wanted, forced)
    reasons = [h.finish_reason for hypotheses in ours for h in hypotheses]
    assert set(reasons) == set(FinishReason)
    # check(translate(NativeModel(model, "float32"), sources, generation, options), wanted, forced)


def test_by_the_rules_of_the_paper_it_is_another_search() -> None:
    """So that the test above compares what it says."""
    model = sharp_transformer(**SHAPES[0])
    sources = random_sources(model.config.src_vocab_size)
    generation = GenerationConfig(
        length_normalization="mean", max_new_tokens=LIMIT, length_penalty=1.0, num_hypotheses=4
    )
    wanted = theirs(model, sources, generation, None)
    ours = generate(model, sources, generation, [NO_OPTIONS] * len(sources))
    different = [
        [list(h.token_ids) for h in mine] != [tokens for tokens, _ in other]
        for mine, other in zip(ours, wanted, strict=True)
    ]
    assert sum(different) > 20
