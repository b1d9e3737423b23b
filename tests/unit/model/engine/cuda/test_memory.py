"""What models take on a GPU, before they are loaded."""

from __future__ import annotations

import pytest

from model.config import TransformerConfig
from model.engine.cuda.memory import gpu_budget, gpu_slots
from model.network.memory import weights_bytes
from model.network.shapes import num_parameters

NLLB_3_3B = TransformerConfig(
    src_vocab_size=256_206, tgt_vocab_size=256_206, d_model=2048, d_ff=8192, num_heads=16,
    num_encoder_layers=24, num_decoder_layers=24, max_positions=1024, norm_order="pre",
    final_norm=True,
)  # fmt: skip


def test_the_largest_model_in_the_types_of_a_gpu_and_of_a_cpu() -> None:
    assert num_parameters(NLLB_3_3B) == pytest.approx(3.345e9, rel=0.002)
    assert gpu_budget(NLLB_3_3B, "bfloat16", 64).weights == pytest.approx(6.69e9, rel=0.002)
    assert gpu_budget(NLLB_3_3B, "float32", 64).weights == pytest.approx(13.38e9, rel=0.002)
    assert weights_bytes(NLLB_3_3B, "int8") == pytest.approx(3.35e9, rel=0.01)


def test_slots_are_as_many_as_fit_and_none_where_nothing_does() -> None:
    assert gpu_slots(NLLB_3_3B, "bfloat16", 6 * 2**30) is None
    rooms = [gpu_slots(NLLB_3_3B, "bfloat16", size * 2**30) for size in (16, 24, 40, 80)]
    assert None not in rooms
    assert rooms == sorted(set(rooms))  # type: ignore[type-var]
    for size, slots in zip((16, 24, 40, 80), rooms, strict=True):
        assert slots is not None
        assert gpu_budget(NLLB_3_3B, "bfloat16", slots).total <= size * 2**30
        assert gpu_budget(NLLB_3_3B, "bfloat16", slots + 1).total > size * 2**30
