"""How much memory a runner takes."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from model.config import TransformerConfig
from model.engine.cuda.budget import MOST_SLOTS, MemoryBudget, slots_within
from model.engine.cuda.device_model import DeviceModel
from model.engine.cuda.kernels import plain
from model.engine.cuda.kernels.operations import Guard
from model.engine.cuda.kernels.plain import PlainOperations
from model.engine.cuda.kernels.slot_memory import SlotMemory
from model.errors import InvalidRequestError
from tests.tiny_model import tiny_transformer

BASE = TransformerConfig.base(32_000, max_positions=256)


def budget(max_slots: int) -> MemoryBudget:
    return MemoryBudget.of(
        BASE,
        num_parameters=60_000_000,
        max_slots=max_slots,
        encoded_tokens=2048,
        dtype=torch.bfloat16,
    )


def test_two_thousand_slots_of_the_base_model() -> None:
    # 4 caches * 6 layers * 256 positions * 512 numbers of 2 bytes are 6 MiB a slot.
    assert budget(2048).slots == pytest.approx(2049 * 6 * 2**20, rel=0.002)
    assert budget(2048).weights == 120_000_000


def test_what_fits_passes_and_what_does_not_says_why() -> None:
    needed = budget(1024)
    needed.check(needed.total, max_slots=1024, max_positions=256)
    message = (
        r"`max_slots` must be lower than 1024 on this device: with 256 positions each they take "
        r"6\.0 GiB, the weights 0\.1 and a step 0\.8, but 5\.0 GiB are free"
    )
    with pytest.raises(InvalidRequestError, match=message):
        needed.check(5 * 2**30, max_slots=1024, max_positions=256)


def test_a_large_device_has_no_more_than_the_most() -> None:
    assert slots_within(2**40, budget) == MOST_SLOTS


@pytest.mark.parametrize("gigabytes", [2, 4, 6])
def test_a_small_device_has_as_many_as_fit_and_not_one_more(gigabytes: int) -> None:
    free_bytes = gigabytes * 2**30
    fitting = slots_within(free_bytes, budget)
    assert budget(fitting).total <= free_bytes < budget(fitting + 1).total


def test_a_tiny_device_is_refused_by_the_check() -> None:
    assert slots_within(2**20, budget) == 1
    with pytest.raises(InvalidRequestError, match="`max_slots` must be lower than 1"):
        budget(1).check(2**20, max_slots=1, max_positions=256)


class _GuardedByAKernel(PlainOperations):
    """Marks no tokens: kernels do it where it stands."""

    def guard(
        self, rows: Tensor, positions: Tensor, memory: SlotMemory, vocab_size: int, eos_id: int
    ) -> Guard:
        return Guard(*torch.zeros(2, rows.numel(), -(-vocab_size // 32), dtype=torch.int32))


class _MostBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that are made within it, as long as they live."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._alive: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        given = {
            each.untyped_storage()._cdata for each in tree_leaves(args) if torch.is_tensor(each)
        }
        for each in tree_leaves(made):
            storage = each.untyped_storage() if torch.is_tensor(each) else None
            if storage is not None and storage._cdata not in given | self._alive.keys():
                self._alive[storage._cdata] = storage.nbytes()
                weakref.finalize(storage, self._alive.pop, storage._cdata)
        self.most = max(self.most, sum(self._alive.values()))
        return made


@pytest.mark.parametrize("beams", [1, 4, 16])
@pytest.mark.parametrize("lexical", [False, True])
def test_a_step_of_the_largest_kind_stays_within_it(
    monkeypatch: pytest.MonkeyPatch, beams: int, lexical: bool
) -> None:
    """What plain operations look at: lexical constraints, and beams that no kernel is made for."""
    monkeypatch.setattr(plain, "_BLOCK_SIZE", 4000)
    transformer = tiny_transformer(vocab_size=4000)
    config, slots = transformer.config, 256
    memory = SlotMemory(config, slots, dtype=torch.float32, device=torch.device("cpu"))
    program = DeviceModel(
        transformer, _GuardedByAKernel(torch.float32), memory,
        dtype=torch.float32, device=torch.device("cpu"),
    )  # fmt: skip
    rows = torch.arange(slots, dtype=torch.int32).view(-1, beams)
    flags = torch.zeros(len(rows), dtype=torch.int32)
    looked_at: list[Tensor] = []

    def look(log_probs: Tensor, free: Tensor, rows: Tensor) -> None:
        looked_at.append(log_probs[0])

    with torch.inference_mode(), _MostBytes() as counted:
        program.step(
            rows, flags, constrained=True, restricted=True, lexical=look if lexical else None
        )
    assert bool(looked_at) is lexical
    all_slots, none = (
        MemoryBudget.of(
            config, num_parameters=0, max_slots=each, encoded_tokens=0, dtype=torch.float32
        ).scratch
        for each in (slots, 0)
    )
    assert slots * 4000 * 4 < counted.most < all_slots - none
