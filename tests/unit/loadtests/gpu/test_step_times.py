"""Steps are measured on a stream that does at once what it is given, as a device may."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch

from loadtests.gpu.agreement import cuda_runner
from loadtests.gpu.stages import Figures
from loadtests.gpu.step_times import Ceilings, measure_steps
from model.engine.cuda.kernels.plain import PlainOperations
from model.engine.cuda.runner import CudaRunner
from model.network.transformer import Transformer
from tests.tiny_model import tiny_config
from tests.unit.model.engine.deferred_stream import DeferredStream


class ImmediateStream(DeferredStream):
    """In the mode of whoever queues: it does not help out."""

    def run(self, work: Callable[[], None]) -> None:
        work()


def immediate_runner(transformer: Transformer, *, dtype: torch.dtype, max_slots: int) -> CudaRunner:
    return cuda_runner(
        transformer,
        dtype=dtype,
        max_slots=max_slots,
        stream=ImmediateStream(),
        operations=PlainOperations(dtype),
    )


def test_steps_are_measured_where_work_is_done_at_once(tmp_path: Path) -> None:
    figures = Figures(tmp_path / "figures.json")
    ceilings = Ceilings(bytes_per_second=4e12, flops=8e14)
    config = tiny_config(projection_bias=True)
    measure_steps(immediate_runner, figures, config, ceilings, rows=(1, 4), narrow_rows=(1,))
    found = json.loads((tmp_path / "figures.json").read_text())["figures"]
    assert found["step_beam4_rows4_us"] > 0
    assert found["step_guarded_beam4_rows4_us"] > 0
    assert found["step_rows1_library_products_us"] > 0
