"""The likeliest continuations of each row: by the kernels, and by the plain way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from model.config import GenerationConfig
from model.engine.cuda.kernels.operations import Candidates, Linear
from model.engine.cuda.kernels.slot_memory import Counter, SlotMemory, allowed_words
from tests.unit.model.engine.cuda.kernels.arena import (
    ROUNDING_DTYPE,
    arena_config,
    groups_at,
    make_operations,
    random_memory,
    set_options,
)

EOS = 5
WIDTH = 24
"""The decoder's."""


def memory_for(vocabulary: int, device: torch.device, max_slots: int = 12) -> SlotMemory:
    config = arena_config(src_vocab_size=vocabulary, tgt_vocab_size=vocabulary)
    return random_memory(config, max_slots, device, torch.float32)


def identity(scores: Tensor) -> tuple[Tensor, Linear]:
    """What is projected to these logits, exactly."""
    return scores, Linear(torch.eye(scores.size(1), device=scores.device), None)


def check(found: Candidates, wanted: Candidates) -> None:
    torch.testing.assert_close(found.scores, wanted.scores, rtol=1e-5, atol=1e-5)
    real = wanted.scores > -math.inf
    assert torch.equal(found.token_ids[real], wanted.token_ids[real])


@pytest.mark.parametrize("width", [1, 4, 16])
@pytest.mark.parametrize("vocabulary", [16, 128, 300])
@pytest.mark.parametrize("with_bias", [False, True])
def test_the_best_of_each_row(operations, device, width: int, vocabulary: int, with_bias) -> None:
    memory = memory_for(vocabulary, device)
    generator = torch.Generator().manual_seed(width)
    scores = torch.randn(3, vocabulary, generator=generator)
    # Equals: the lowest token is the better one.
    scores[1] = 0.0
    scores[2, 7] = scores[2, 3] = scores[2, vocabulary - 1] = 50.0
    bias = torch.zeros(vocabulary)
    bias[11] = 30.0
    rows = torch.arange(3, device=device).int()[:, None]
    x, projection = identity(scores.to(device))
    if with_bias:
        projection = Linear(projection.weight, bias.to(device))
        scores = scores + bias
    found = operations.candidates(x, projection, width, rows, memory)
    wanted = scores.log_softmax(dim=1).sort(dim=1, descending=True, stable=True)
    assert torch.equal(found.token_ids.cpu().long(), wanted.indices[:, :width])
    torch.testing.assert_close(found.scores.cpu(), wanted.values[:, :width])


@pytest.mark.parametrize("num_rows", [1, 5, 17, 40, 130])
def test_any_number_of_rows(device, num_rows: int) -> None:
    """Each has a shape of tiles that suits it."""
    memory = memory_for(140, device)
    generator = torch.Generator().manual_seed(num_rows)
    x = torch.randn(num_rows, WIDTH, generator=generator).to(device)
    projection = Linear(torch.randn(140, WIDTH, generator=generator).to(device), None)
    rows = torch.zeros(num_rows, 1, dtype=torch.int32, device=device)
    found, wanted = (
        make_operations(kind, torch.float32).candidates(x, projection, 4, rows, memory)
        for kind in ("fused", "plain")
    )
    check(found, wanted)


@pytest.mark.parametrize("num_rows", [2, 33])
@pytest.mark.parametrize("width", [1, 8])
def test_half_precision(device, num_rows: int, width: int) -> None:
    memory = memory_for(200, device)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(num_rows, WIDTH, generator=generator).to(device, ROUNDING_DTYPE)
    weight = torch.randn(200, WIDTH, generator=generator).to(device, ROUNDING_DTYPE)
    projection = Linear(weight, torch.randn(200, generator=generator).to(device, ROUNDING_DTYPE))
    rows = torch.zeros(num_rows, 1, dtype=torch.int32, device=device)
    found, wanted = (
        make_operations(kind, ROUNDING_DTYPE).candidates(x, projection, width, rows, memory)
        for kind in ("fused", "plain")
    )
    check(found, wanted)


@pytest.mark.parametrize("beams", [1, 2])
def test_a_shortlist_hides_all_else(operations, device, beams: int) -> None:
    memory = memory_for(300, device)
    shortlists = [np.array([EOS, 31, 32, 63, 299], np.int32), np.array([EOS], np.int32)]
    memory.allowed[torch.tensor([5, 1])] = torch.from_numpy(allowed_words(shortlists, 300)).to(
        device
    )
    rows = torch.tensor([[5, 3], [1, 2], [12, 12]], dtype=torch.int32, device=device)
    rows = rows[:, :beams].contiguous()
    scores = torch.randn(3 * beams, 300, generator=torch.Generator().manual_seed(0))
    x, projection = identity(scores.to(device))
    width = 1 if beams == 1 else 4
    found = operations.candidates(x, projection, width, rows, memory, restricted=True)
    for group, allowed in enumerate([*shortlists, np.arange(300, dtype=np.int32)]):
        mine = slice(group * beams, (group + 1) * beams)
        left = torch.full_like(scores[mine], -math.inf)
        left[:, allowed] = scores[mine][:, allowed]
        best = left.log_softmax(dim=1).sort(dim=1, descending=True, stable=True)
        torch.testing.assert_close(found.scores[mine].cpu(), best.values[:, :width])
        real = best.values[:, :width] > -math.inf
        assert torch.equal(found.token_ids[mine].cpu().long()[real], best.indices[:, :width][real])


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("penalty", [1.0, 1.5])
@pytest.mark.parametrize("restricted", [False, True])
def test_a_guard_changes_what_is_best(device, beams: int, penalty: float, restricted: bool) -> None:
    """Histories are of six tokens, which are the likeliest ones: some are banned, others not."""
    positions = [0, 1, 9, 40, 79]
    memory = memory_for(300, device, max_slots=len(positions) * beams)
    rows = groups_at(memory, positions, [1] * len(positions), beams, seed=4)
    generation = GenerationConfig(
        no_repeat_ngram_size=2, repetition_penalty=penalty, limit_repeats=True
    )
    set_options(memory, slice(None), generation)
    memory.counters[Counter.SOURCE_COPIES] = 1
    allowed = allowed_words([np.arange(4, 200, dtype=np.int32)], 300)
    memory.allowed[:-1] = torch.from_numpy(allowed).to(device)
    scores = torch.randn(rows.numel(), 300, generator=torch.Generator().manual_seed(2))
    scores[:, 3:9] += 6.0
    scores[:, 140] = scores[:, 8]
    x, projection = identity(scores.to(device))
    width = 1 if beams == 1 else 2 * beams
    both = []
    for kind in ("fused", "plain"):
        operations = make_operations(kind, torch.float32)
        _, at = operations.read_rows(rows, memory)
        guard = operations.guard(rows, at, memory, 300, EOS)
        both.append(
            operations.candidates(
                x, projection, width, rows, memory, restricted=restricted, guard=guard
            )
        )
        free = operations.candidates(x, projection, width, rows, memory, restricted=restricted)
        assert not torch.equal(free.token_ids, both[-1].token_ids), "the guard must do something"
    check(*both)


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_of_numbers_that_are_not_finite_nothing_is_left(
    operations, device, width: int, number: float
) -> None:
    memory = memory_for(200, device)
    x, projection = identity(torch.randn(2, 200).to(device))
    bias = torch.zeros(200, device=device)
    bias[150] = number
    rows = torch.zeros(2, 1, dtype=torch.int32, device=device)
    found = operations.candidates(x, Linear(projection.weight, bias), width, rows, memory)
    assert (found.scores == -math.inf).all()
    assert ((found.token_ids >= 0) & (found.token_ids < 200)).all()


def test_a_row_does_not_depend_on_its_neighbours(operations, device) -> None:
    """Bit for bit, with equally many rows."""
    memory = memory_for(200, device)
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 7, WIDTH, generator=generator).to(device)
    second[4] = first[2]
    projection = Linear(torch.randn(200, WIDTH, generator=generator).to(device), None)
    rows = torch.zeros(7, 1, dtype=torch.int32, device=device)
    alone, among = (operations.candidates(x, projection, 4, rows, memory) for x in (first, second))
    assert torch.equal(alone.scores[2], among.scores[4])
    assert torch.equal(alone.token_ids[2], among.token_ids[4])
