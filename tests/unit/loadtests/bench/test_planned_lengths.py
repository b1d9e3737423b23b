"""Random weights end their targets where they are asked to, whoever runs them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import ctranslate2
import pytest
import torch

from loadtests.bench.ctranslate2_model import write_ctranslate2_model
from loadtests.bench.models import (
    FIRST_FREE_ID,
    MAX_PLANNED_TOKENS,
    RANDOM_MODELS,
    length_token,
)
from loadtests.bench.planned_lengths import plan_lengths
from model.config import GenerationConfig, TransformerConfig
from model.decoding.reference import generate
from model.network.transformer import Transformer

_VOCAB = 300
_PLAN = [1, 2, 3, 4, 5, 7, 10, 16, 25, 40, 64, 90, 126, MAX_PLANNED_TOKENS]


def _sources(plan: list[int]) -> list[list[int]]:
    rng = random.Random(3)
    return [
        [
            length_token(length),
            *(rng.randrange(FIRST_FREE_ID, _VOCAB) for _ in range(rng.randint(1, 100))),
            2,
        ]
        for length in plan
    ]


def _planned(num_encoder_layers: int, num_decoder_layers: int) -> Transformer:
    config = TransformerConfig.base(
        _VOCAB, num_encoder_layers=num_encoder_layers, num_decoder_layers=num_decoder_layers
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        weights = Transformer(config).eval()
    plan_lengths(weights)
    return weights


@pytest.fixture(scope="module", params=[(6, 6), (6, 2)], ids=["paper-base", "deep-shallow"])
def planned(request: pytest.FixtureRequest) -> Transformer:
    return _planned(*request.param)


def _lengths(weights: Transformer, beam_size: int, plan: list[int]) -> list[int]:
    found = generate(
        weights, _sources(plan), GenerationConfig(beam_size=beam_size, max_new_tokens=200)
    )
    return [len(best.token_ids) + 1 for best, *_ in found]


def test_greedy_targets_are_as_long_as_planned(planned: Transformer) -> None:
    assert _lengths(planned, 1, _PLAN) == _PLAN


def test_beam_targets_are_as_long_as_planned(planned: Transformer) -> None:
    assert _lengths(planned, 4, _PLAN) == _PLAN


def test_the_plan_survives_bfloat16() -> None:
    weights = _planned(6, 6).to(torch.bfloat16)
    assert _lengths(weights, 1, _PLAN) == _PLAN


@pytest.mark.parametrize("beam_size", [1, 4])
def test_the_plan_survives_int8_that_may_saturate(
    planned: Transformer, beam_size: int, tmp_path: Path
) -> None:
    """CTranslate2's int8 products do on processors without VNNI."""
    write_ctranslate2_model(planned, tmp_path, "int8")
    translator = ctranslate2.Translator(str(tmp_path), compute_type="int8", intra_threads=1)
    results = translator.translate_batch(
        [[str(token) for token in source] for source in _sources(_PLAN)],
        beam_size=beam_size,
        min_decoding_length=0,
        max_decoding_length=140,
    )
    assert [len(result.hypotheses[0]) + 1 for result in results] == _PLAN


def test_no_row_that_plans_reads_two_neighbours(planned: Transformer) -> None:
    attention: Any = planned.decoder_layers[-1].cross_attn
    head = attention.head_dim
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    rows = torch.cat(
        [
            *(projection.weight[:head] for projection in projections),
            # Rows of channels that are set aside read the one head alone.
            attention.out_proj.weight[(attention.out_proj.weight[:, head:] == 0).all(dim=1)],
            planned.projection.weight[planned.config.eos_id, None],
        ]
    )
    assert len(rows) > 3 * head
    assert not ((rows[:, 0::2] != 0) & (rows[:, 1::2] != 0)).any()


def test_shapes_stay_what_they_were() -> None:
    plain = Transformer(RANDOM_MODELS["deep-shallow"])
    before = {name: weight.shape for name, weight in plain.named_parameters()}
    plan_lengths(plain)
    assert {name: weight.shape for name, weight in plain.named_parameters()} == before
    zeros = sum(int((weight == 0).sum()) for weight in plain.parameters() if weight.dim() == 2)
    assert zeros < 0.35 * plain.num_parameters


@pytest.mark.parametrize("length", [0, MAX_PLANNED_TOKENS + 1])
def test_a_length_that_cannot_be_planned(length: int) -> None:
    with pytest.raises(ValueError, match=f"but is {length}"):
        length_token(length)
