"""How much memory a runner takes."""

from __future__ import annotations

import pytest
import torch

from model.config import TransformerConfig
from model.engine.cuda.budget import MOST_SLOTS, MemoryBudget, slots_within
from model.errors import InvalidRequestError

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
