"""How long a decode step takes, beside the least that it can take, and where the time goes."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.benchmark import Timer

from loadtests.gpu.agreement import Maker
from loadtests.gpu.stages import Figures
from model.config import TransformerConfig
from model.engine.cuda import device_model
from model.engine.cuda.decode_group import DecodeGroup
from model.engine.cuda.kernels.slot_memory import Counter
from model.engine.cuda.runner import CudaRunner
from model.network.transformer import Transformer

__all__ = ["Ceilings", "measure_steps"]

_SOURCE_LEN = 30
_FIRST, _STEPS = 10, 10
"""Steps from position 10 on: 15 are behind a row on average, as in a target of 30."""
_PROFILED = 4
"""How often so many steps are profiled."""
_COSTLIEST = 14
"""Kernels whose time is told: all that a step has but the smallest."""
_NUM_BYTES = 2


class _Search(NamedTuple):
    name: str
    beams: int
    guarded: bool


_GREEDY, _BEAM = _Search("beam1", 1, False), _Search("beam4", 4, False)
_GUARDED = _Search("guarded_beam4", 4, True)


@dataclass(frozen=True, kw_only=True)
class Ceilings:
    """The most that one device can do."""

    bytes_per_second: float
    """Bytes that a copy within the device reads and writes."""
    flops: float
    """Operations of a large bfloat16 product; a multiplication and an addition count two."""

    @classmethod
    def measured(cls, *, device: str = "cuda", size: int = 2**31, width: int = 8192) -> Ceilings:
        """On random numbers: zeros take less power, and so less time.

        Args:
            size: bytes that are copied.
            width: of the square matrices that are multiplied.
        """
        source = torch.randint(0, 255, (size,), dtype=torch.uint8, device=device)
        target = torch.empty_like(source)
        copying = _seconds(lambda: target.copy_(source))
        a, b = torch.randn(2, width, width, device=device).bfloat16()
        multiplying = _seconds(lambda: a @ b)
        return cls(bytes_per_second=2 * size / copying, flops=2 * width**3 / multiplying)

    def step_seconds(self, config: TransformerConfig, *, groups: int, beams: int) -> float:
        """The least that a step of `groups` sources takes, in bfloat16.

        Products need their weights, and what they multiply; each weight and each cached number is
        read once. The beams of a source share its entry; how much of their past they share is not
        counted.
        """
        width, layers = config.d_model, config.num_decoder_layers
        per_layer = 6 * width * width + 2 * width * config.d_ff
        weights = layers * per_layer + config.tgt_vocab_size * width
        rows, past = groups * beams, _FIRST + _STEPS / 2 + 1
        cached = 2 * layers * width * (rows * past + groups * _SOURCE_LEN)
        attention = 4 * layers * width * rows * (past + _SOURCE_LEN)
        multiplying = (2.0 * weights * rows + attention) / self.flops
        reading = _NUM_BYTES * weights / self.bytes_per_second
        return max(reading, multiplying) + _NUM_BYTES * cached / self.bytes_per_second


def _seconds(work: Callable[[], object]) -> float:
    """The median time of many calls, until the device has done them."""
    timer = Timer("work()", globals={"work": work})
    return float(timer.blocked_autorange(min_run_time=0.2).median)


def endless_transformer(config: TransformerConfig) -> Transformer:
    """Random weights that never end a target."""
    torch.manual_seed(0)
    transformer = Transformer(config).eval()
    with torch.no_grad():
        transformer.projection.bias[config.eos_id] = -1e4
    return transformer


@torch.inference_mode()
def measure_steps(
    make: Maker,
    figures: Figures,
    config: TransformerConfig,
    ceilings: Ceilings,
    *,
    rows: tuple[int, ...] = (1, 64, 256, 1024),
    narrow_rows: tuple[int, ...] = (1, 4, 8, 16, 32, 64),
    repeats: int = 15,
    steps: int = _STEPS,
) -> None:
    """Greedy search and beams of four, these with the embedded models' guard as well, in bfloat16.

    Args:
        narrow_rows: at which the fused products are held against the library's.
        repeats: of each measurement, whose median counts.
        steps: of each repeat, one behind the other.
    """
    transformer = endless_transformer(config)
    runner = make(transformer, dtype=torch.bfloat16, max_slots=max(rows))

    def step_seconds(runner: CudaRunner, groups: int, search: _Search) -> float:
        with figures.part("compile"):  # and capture
            _graph(runner, groups, search)
        with figures.part("measure"):
            return _step_seconds(runner, groups, search, repeats=repeats, steps=steps)

    figures.record("slots_gib", runner.budget.slots / 2**30)
    for search in (_GREEDY, _BEAM, _GUARDED):
        for num_rows in rows:
            groups = max(1, num_rows // search.beams)
            bound = ceilings.step_seconds(config, groups=groups, beams=search.beams)
            seconds = step_seconds(runner, groups, search)
            name = f"step_{search.name}_rows{groups * search.beams}"
            figures.record(f"{name}_us", seconds * 1e6)
            figures.record(f"{name}_tokens_per_second", groups / seconds)
            figures.record(f"{name}_bound_us", bound * 1e6)
            figures.record(f"{name}_share_of_bound", bound / seconds)
        _profile(runner, max(rows), search, figures)
    _profile(runner, 1, _GREEDY, figures)
    runner.close()
    for narrow in (0, max(narrow_rows)):
        with _narrow_up_to(narrow):
            other = make(transformer, dtype=torch.bfloat16, max_slots=max(narrow_rows))
            for num_rows in narrow_rows:
                kind = "fused" if narrow else "library"
                seconds = step_seconds(other, num_rows, _GREEDY)
                figures.record(f"step_rows{num_rows}_{kind}_products_us", seconds * 1e6)
            other.close()


def _graph(runner: CudaRunner, groups: int, search: _Search) -> tuple[DecodeGroup, int]:
    """Who decodes `groups` sources, and the bucket of the graph for it, which is there then."""
    group = runner._decode_group(search.beams, search.guarded, restricted=False)
    bucket = next(bucket for bucket in group.buckets if bucket >= groups)
    group.graph(bucket)
    runner._stream.settle()
    return group, bucket


@torch.inference_mode()
def _step_seconds(
    runner: CudaRunner, groups: int, search: _Search, *, repeats: int = 15, steps: int = _STEPS
) -> float:
    """Seconds of one step, from real ones in a row, all groups at the same position."""
    group, bucket = _graph(runner, groups, search)
    graph = group.graph(bucket)
    slots = np.arange(groups * search.beams, dtype=np.int32).reshape(groups, search.beams)
    table = np.full((bucket, search.beams), runner._memory.spare, dtype=np.int32)
    table[:groups] = slots
    runner._stream.upload(table, group._rows[:bucket])

    def rewind() -> None:
        counters = runner._memory.counters
        counters[Counter.DONE, : runner.max_slots] = 0
        counters[Counter.ENDED] = 0
        runner._memory.options["num_hypotheses"].fill_(1)
        runner._memory.options["limit_repeats"].fill_(search.guarded)
        counters[Counter.SOURCE_COPIES] = 1
        counters[Counter.LIMIT] = runner.model_config.max_positions
        counters[Counter.POSITION, : runner.max_slots] = _FIRST
        counters[Counter.SOURCE_LEN, : runner.max_slots] = _SOURCE_LEN
        # Each beam continues itself: no past is shared.
        own = torch.arange(runner.max_slots + 1, device=counters.device).int()
        runner._memory.ancestors.copy_(own[None, :, None].expand_as(runner._memory.ancestors))

    stream = runner._stream
    times = []
    for _ in range(repeats + 1):
        stream.run(rewind)
        began = stream.mark()
        for _ in range(steps):
            graph()
        ended = stream.mark()
        ended.wait()
        times.append(ended.seconds_since(began))
    return statistics.median(times[1:]) / steps


def _profile(runner: CudaRunner, num_rows: int, search: _Search, figures: Figures) -> None:
    """The kernels that take most of a step's time; nothing where they cannot be traced."""
    if not torch.cuda.is_available():
        return
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        groups = num_rows // search.beams
        _step_seconds(runner, groups, search, repeats=_PROFILED - 1)
    found = sorted(profile.key_averages(), key=lambda event: -event.self_device_time_total)
    steps = _STEPS * _PROFILED
    for place, event in enumerate(found[:_COSTLIEST]):
        each = event.self_device_time_total / steps
        name = f"step_{search.name}_rows{num_rows}_cost{place}"
        figures.record(name, f"{each:.1f} us {event.key[:60]}")


@contextmanager
def _narrow_up_to(rows: int) -> Any:
    """Until here a step's products are fused with what is around them."""
    before = device_model._NARROW
    device_model._NARROW = rows
    try:
        yield
    finally:
        device_model._NARROW = before
