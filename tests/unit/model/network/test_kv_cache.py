"""The cache takes memory for what is written, not for what is reserved."""

from pathlib import Path

import pytest
import torch

from model.network.kv_cache import KVCache
from tests.tiny_model import tiny_config


def resident_bytes() -> int:
    """Memory of this process that is really there."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_memory_that_was_never_written_is_never_taken(dtype: torch.dtype) -> None:
    config = tiny_config(d_model=512, num_heads=8, max_positions=512)
    before = resident_bytes()
    cache = KVCache(config, 256, dtype=dtype)
    assert cache.size_bytes == 256 * 512 * 512 * dtype.itemsize * 2 * 2 * 2
    assert resident_bytes() - before < cache.size_bytes / 20
    assert cache.self_keys.dtype == dtype
    assert not cache.cross_values[1, 255].any()
    slots = torch.tensor([3, 200])
    cache.write_cross(1, slots, *torch.ones(2, 2, 8, 5, 64, dtype=dtype), torch.tensor([5, 4]))
    keys, values = cache.read_cross(1, slots, 6)
    assert keys[:, :, :5].eq(1).all()
    assert not values[:, :, 5].any()
    assert resident_bytes() - before < cache.size_bytes / 20
