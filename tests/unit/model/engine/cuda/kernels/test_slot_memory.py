"""What is allocated for slots."""

from __future__ import annotations

import pytest
import torch

from model.config import GenerationConfig
from model.engine.cuda.kernels.slot_memory import Counter, SlotMemory, option_columns
from tests.unit.model.engine.cuda.kernels.arena import arena_config


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["attention", "ssru"])
def test_the_size_is_known_in_advance(dtype: torch.dtype, kind: str) -> None:
    config = arena_config(head_dim=16, decoder_kind=kind)
    memory = SlotMemory(config, 7, dtype=dtype, device=torch.device("cpu"))
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in vars(memory).values()
        if isinstance(tensor, torch.Tensor)
    }
    assert sum(storages.values()) == SlotMemory.size_bytes(config, 7, dtype)


def test_the_trace_is_one_piece() -> None:
    memory = SlotMemory(arena_config(), 3, dtype=torch.float32, device=torch.device("cpu"))
    views = (
        memory.tokens, memory.parents, memory.ended_log_probs, memory.ended_beams,
        memory.ended_lengths, memory.ended_tokens,
    )  # fmt: skip
    for number, view in enumerate(views):
        view.fill_(number)
    widths = [view.size(1) for view in views]
    assert sum(widths) == memory.trace.size(1)
    assert memory.ended_log_probs.dtype == torch.float32
    assert memory.trace[0, -1] == 5


def test_options_have_rows_by_their_names() -> None:
    memory = SlotMemory(arena_config(), 3, dtype=torch.float32, device=torch.device("cpu"))
    generations = [
        GenerationConfig(length_penalty=2.0, no_repeat_ngram_size=2**40),
        GenerationConfig(num_hypotheses=3, repetition_penalty=1.5),
    ]
    integers, reals = option_columns(generations)
    memory.counters[len(Counter) :, :2] = torch.tensor(integers)
    memory.factors[:, :2] = torch.tensor(reals)
    for name, values in {
        "num_hypotheses": [1, 3],
        "no_repeat_ngram_size": [2**31 - 1, 0],
        "length_penalty": [2.0, 0.6],
        "repetition_penalty": [1.0, 1.5],
    }.items():
        assert memory.options[name][:2].tolist() == values, name
    assert not memory.counters[: len(Counter), :2].any()
