"""The packed and fused programs against the Transformer they were made from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model.config import GenerationConfig
from model.decoding.reference import pad_sources
from model.decoding.token_ids import packed_ids
from model.engine.cuda import device_model
from model.engine.cuda.device_model import DeviceModel
from model.engine.cuda.kernels.operations import Linear, Operations
from model.engine.cuda.kernels.plain import PlainOperations
from model.engine.cuda.kernels.slot_memory import Counter, SlotMemory
from model.engine.cuda.packing import pack
from model.engine.sequence import Sequence
from model.network.transformer import Transformer
from tests.tiny_model import tiny_transformer
from tests.unit.model.engine.cuda.kernels.arena import (
    DEVICE,
    ROUNDING_DTYPE,
    error,
    make_operations,
)

SOURCES = [[5, 6, 7, 2], [9, 2], [11, 12, 13, 14, 15, 16, 17, 2]]
TARGETS = [[1, 40, 41, 42, 43], [1, 50, 51, 52, 53], [1, 60, 61, 62, 63]]


class Teacher:
    """Keeps the logits, and leaves the search to the test."""

    logits_seen: Tensor

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operations, name)

    def candidates(self, x: Tensor, projection: Linear, *_: object, **__: object) -> None:
        self.logits_seen = self._operations.logits(x, projection)

    def advance(self, *args: object) -> None:
        pass


def step_by_step(transformer: Transformer, kind: str, dtype: torch.dtype) -> Tensor:
    """(source, position, V) logits, one position after the other through the slots."""
    memory = SlotMemory(transformer.config, 6, dtype=dtype, device=DEVICE)
    operations = Teacher(make_operations(kind, dtype))
    program = DeviceModel(transformer, operations, memory, dtype=dtype, device=DEVICE)
    slots = [4, 0, 3]
    sequences = []
    for source, slot in zip(SOURCES, slots, strict=True):
        sequence = Sequence(
            source=packed_ids(source),
            generation=GenerationConfig(beam_size=1),
            max_new_tokens=9,
            arrived_at=0.0,
        )
        sequence.slots = [slot]
        sequences.append(sequence)
    lengths = np.array([len(source) for source in SOURCES], dtype=np.int32)
    for packed in pack(sequences, np.array(slots, dtype=np.int32), lengths, [64], pad_id=0):
        program.encode(*(torch.tensor(each, device=DEVICE) for each in packed[1:]))
    memory.counters[Counter.SOURCE_LEN, slots] = integers([len(source) for source in SOURCES])
    rows = integers(slots)[:, None]
    logits = []
    for position in range(5):
        memory.counters[Counter.POSITION, slots] = position
        memory.tokens[slots, position] = integers([target[position] for target in TARGETS])
        program.step(rows, integers([0, 0, 0]), constrained=False)
        logits.append(operations.logits_seen.cpu())
    return torch.stack(logits, dim=1)


def integers(values: list[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.int32, device=DEVICE)


@pytest.mark.parametrize("kind", ["plain", "fused"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (ROUNDING_DTYPE, 1e-2)])
@pytest.mark.parametrize("shape", [{}, {"norm_order": "pre", "final_norm": True}], ids=str)
@pytest.mark.parametrize("narrow", [0, 64], ids=["wide", "narrow"])
@torch.inference_mode()
def test_step_by_step_is_teacher_forcing(
    monkeypatch,
    kind: str,
    dtype: torch.dtype,
    tolerance: float,
    shape: dict[str, object],
    narrow: int,
) -> None:
    monkeypatch.setattr(device_model, "_NARROW", narrow)
    transformer = tiny_transformer(seed=3, projection_bias=True, **shape)
    wanted = transformer.double()(*pad_sources(SOURCES, 0), torch.tensor(TARGETS))
    transformer = tiny_transformer(seed=3, projection_bias=True, **shape)
    assert error(step_by_step(transformer, kind, dtype), wanted) < tolerance


def test_a_shared_matrix_is_stored_once() -> None:
    transformer = tiny_transformer()
    memory = SlotMemory(transformer.config, 1, dtype=torch.float32, device=DEVICE)
    operations = PlainOperations(torch.float32)
    program = DeviceModel(transformer, operations, memory, dtype=torch.float32, device=DEVICE)
    weights = program._weights
    assert weights.projection.weight is weights.tgt_table.tokens is weights.src_table.tokens
    # The engine's own: the model it was made from may go or change.
    assert weights.projection.weight.data_ptr() != transformer.projection.weight.data_ptr()
