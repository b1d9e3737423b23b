"""The search on the device against `BeamSearch`, fed with the same scores, step by step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from model.config import GenerationConfig
from model.decoding.candidates import best_candidates
from model.decoding.search import BeamSearch
from model.decoding.sequence_options import SequenceOptions
from model.decoding.token_ids import packed_ids
from model.engine.cuda.kernels.operations import Operations
from model.engine.cuda.kernels.slot_memory import Counter, SlotMemory
from model.engine.cuda.search_trace import SearchColumns, SearchTraces
from model.engine.sequence import Sequence
from tests.unit.model.engine.cuda.kernels.arena import arena_config, set_options

VOCABULARY, EOS = 13, 2


@dataclass
class Pair:
    """A search of the host and the same one on the device."""

    slots: list[int]
    search: BeamSearch
    generation: GenerationConfig
    flag: int = 0


def begin(
    memory: SlotMemory,
    slots: list[int],
    generation: GenerationConfig,
    limit: int,
    prefix: tuple[int, ...] = (),
) -> Pair:
    lead = slots[0]
    memory.counters[:, lead] = 0
    memory.counters[Counter.LIMIT, lead] = limit
    memory.counters[Counter.GIVEN, lead] = len(prefix)
    memory.tokens[lead, 1 : len(prefix) + 1] = torch.tensor(prefix, dtype=torch.int32)
    set_options(memory, lead, generation)
    options = SequenceOptions(target_prefix=prefix)
    search = BeamSearch(generation, eos_id=EOS, max_new_tokens=limit, options=options)
    return Pair(slots, search, generation)


def step(
    operations: Operations, pairs: list[Pair], memory: SlotMemory, scores: Tensor, flags: Tensor
) -> None:
    """One step of all pairs on the device, and of those that are not done on the host."""
    device = scores.device
    beams = len(pairs[0].slots)
    spare = [memory.spare] * beams
    rows = torch.tensor([pair.slots for pair in pairs] + [spare], dtype=torch.int32, device=device)
    _, positions = operations.read_rows(rows, memory)
    candidates = operations.best(scores.log_softmax(dim=1), 1 if beams == 1 else 2 * beams)
    operations.advance(candidates, rows, memory, flags, EOS)
    if beams > 1:
        operations.reorder_beams(rows, positions, memory)
    for index, pair in enumerate(pairs):
        if not pair.search.done:
            mine = scores[index * beams : (index + 1) * beams].cpu()
            pair.search.advance(best_candidates(mine, [pair.search], EOS)[0])
        pair.flag = int(flags[index])
    assert int(flags[len(pairs)]) == 1, "the spare group is done, with nothing"


def check(pairs: list[Pair], memory: SlotMemory) -> None:
    for pair in pairs:
        assert (pair.flag > 0) == pair.search.done
        if pair.search.done:
            continue
        position = pair.search.num_tokens
        assert int(memory.counters[Counter.POSITION, pair.slots[0]]) == position
        for row, slot in enumerate(pair.slots):
            if pair.search.live_log_probs[row] > -math.inf:
                holders = memory.ancestors[position % 2, slot].tolist()
                holders = holders[:position] if len(pair.slots) > 1 else [slot] * position
                holders.append(slot)
                history = [int(memory.tokens[holders[p], p]) for p in range(1, position + 1)]
                assert history == pair.search.history(row)
                live = float(memory.live_log_probs[slot])
                assert live == pytest.approx(pair.search.live_log_probs[row], abs=1e-4)


def check_ended(pair: Pair, memory: SlotMemory) -> None:
    trace = memory.trace[pair.slots].cpu().numpy()
    sequence = Sequence(
        source=packed_ids((EOS,)), generation=pair.generation, options=pair.search.options,
        max_new_tokens=1, arrived_at=0.0,
    )  # fmt: skip
    # Beside another one's rows
    traces = SearchTraces(np.concatenate([trace[::-1], trace]), len(trace))
    ended = np.array([1, pair.flag - 1], dtype=np.int32)
    both = [sequence, sequence]
    _, found = traces.hypotheses(both, SearchColumns.of_sequences(both), ended, [None, None])
    wanted = pair.search.hypotheses()
    assert [(h.token_ids, h.finish_reason) for h in found] == [
        (h.token_ids, h.finish_reason) for h in wanted
    ]
    for mine, theirs in zip(found, wanted, strict=True):
        assert mine.log_prob == pytest.approx(theirs.log_prob, abs=1e-4)
        assert mine.score == pytest.approx(theirs.score, abs=1e-4)


def generations(beams: int, seed: int) -> list[tuple[GenerationConfig, int]]:
    """Some searches of this width, with their limits."""
    generator = torch.Generator().manual_seed(seed)

    def up_to(most: int) -> int:
        return int(torch.randint(1, most + 1, (1,), generator=generator))

    return [
        (
            GenerationConfig(beam_size=beams, num_hypotheses=up_to(beams), length_penalty=alpha),
            up_to(9),
        )
        for alpha in (0.0, 0.6, 1.0, 3.0)[: max(2, 8 // beams)]
    ]


@pytest.mark.parametrize(
    ("beams", "end_bias"),
    [*product([1, 2, 4], [-3.0, 1.0, 4.0]), (3, 1.0), (8, 1.0)],
)
def test_the_device_searches_as_the_host_does(operations, device, beams: int, end_bias) -> None:
    memory = SlotMemory(arena_config(), 40, dtype=torch.float32, device=device)
    generator = torch.Generator().manual_seed(int(beams * 10 + end_bias))
    order = torch.randperm(40, generator=generator).tolist()
    pairs = [
        begin(memory, order[index * beams : (index + 1) * beams], generation, limit)
        for index, (generation, limit) in enumerate(generations(beams, seed=beams))
    ]
    flags = torch.full((len(pairs) + 1,), 99, dtype=torch.int32, device=device)
    for _ in range(10):
        scores = torch.randn((len(pairs) + 1) * beams, VOCABULARY, generator=generator) * 2
        scores[:, EOS] += end_bias
        step(operations, pairs, memory, scores.to(device), flags)
        check(pairs, memory)
    for pair in pairs:
        check_ended(pair, memory)


@pytest.mark.parametrize(("beams", "end_bias"), [(1, 1.0), (4, 3.0), (9, 3.0)])
def test_other_rules_and_prefixes(operations, device, beams: int, end_bias: float) -> None:
    memory = SlotMemory(arena_config(), 81, dtype=torch.float32, device=device)
    rules = [
        {"search": search, "length_normalization": "mean", "forced_end": forced_end, **more}
        for search, forced_end, more in (
            ("transformers", False, {"length_penalty": 1.0}),
            ("transformers", True, {"length_penalty": 0.0}),
            ("transformers", False, {"length_penalty": 3.0, "num_hypotheses": beams}),
            ("paper", True, {"length_penalty": 2.0, "num_hypotheses": beams}),
        )
    ]
    pairs = [
        begin(
            memory, list(range(index * beams, (index + 1) * beams)),
            GenerationConfig(beam_size=beams, **each), (8, 5, 9)[index % 3], (7, 9, 7)[: index % 4],
        )
        for index, each in enumerate(rules)
    ]  # fmt: skip
    flags = torch.full((len(pairs) + 1,), 99, dtype=torch.int32, device=device)
    generator = torch.Generator().manual_seed(beams)
    for _ in range(10):
        scores = torch.randn((len(pairs) + 1) * beams, 2 * VOCABULARY, generator=generator) * 2
        scores[:, EOS] += end_bias
        step(operations, pairs, memory, scores.to(device), flags)
        check(pairs, memory)
    for pair in pairs:
        check_ended(pair, memory)


def test_a_beam_wider_than_the_kernel_is_searched_all_the_same(operations, device) -> None:
    memory = SlotMemory(arena_config(), 9, dtype=torch.float32, device=device)
    generation = GenerationConfig(beam_size=9, num_hypotheses=9)
    pair = begin(memory, list(range(9)), generation, 5)
    flags = torch.zeros(2, dtype=torch.int32, device=device)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        scores = torch.randn(18, 40, generator=generator) * 2
        step(operations, [pair], memory, scores.to(device), flags)
        check([pair], memory)
    check_ended(pair, memory)


def test_nothing_of_what_is_done_changes(operations, device) -> None:
    memory = SlotMemory(arena_config(), 4, dtype=torch.float32, device=device)
    pair = begin(memory, [2, 0], GenerationConfig(beam_size=2), 3)
    flags = torch.zeros(2, dtype=torch.int32, device=device)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        scores = torch.randn(4, VOCABULARY, generator=generator).to(device)
        step(operations, [pair], memory, scores, flags)
    before = memory.trace.clone(), memory.counters.clone(), pair.flag
    assert before[2] > 0
    step(operations, [pair], memory, scores * 3, flags)
    assert torch.equal(memory.trace, before[0])
    assert torch.equal(memory.counters, before[1])
    assert pair.flag == before[2]


@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_of_numbers_that_are_not_finite_nothing_comes(
    operations, device, beams: int, number: float
) -> None:
    memory = SlotMemory(arena_config(), 4, dtype=torch.float32, device=device)
    pair = begin(memory, [3, 1][:beams], GenerationConfig(beam_size=beams), 3)
    rows = torch.tensor([pair.slots], dtype=torch.int32, device=device)
    scores = torch.zeros(beams, VOCABULARY, device=device)
    scores[:, 5] = number
    flags = torch.zeros(1, dtype=torch.int32, device=device)
    candidates = operations.best(scores.log_softmax(dim=1), 2 * beams)
    operations.advance(candidates, rows, memory, flags, EOS)
    assert int(flags[0]) == 1  # done, and nothing has ended: the runner refuses that
