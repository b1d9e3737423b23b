"""Throughput, latency and peers, by the regimes of `polyhead bench`, with runners of our choice."""

from __future__ import annotations

import cProfile
import gc
import io
import os
import pstats
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from loadtests.bench.benchmark import measure_regimes
from loadtests.bench.contender import ContenderSpec, Regime, Search
from loadtests.bench.field import Field
from loadtests.bench.models import BenchModel, digest
from loadtests.bench.options import BenchOptions
from loadtests.bench.polyhead_contender import PolyheadContender, generation
from loadtests.bench.worker import Worker, obey
from loadtests.bench.workload import TextFile, Workload, draw_workload
from loadtests.gpu.figures import Figures
from loadtests.gpu.runners import Maker, drive, sequences
from model.engine.cuda.runner import CudaRunner
from model.engine.engine import StepStats

__all__ = ["DeviceWorker", "measure_alone", "measure_online", "measure_throughput"]


class DeviceWorker(Worker):
    """Our engine around a runner of this process, behind the interface of a contender's process."""

    def __init__(self, runner: CudaRunner, model: BenchModel, workload: Workload) -> None:
        self.spec = ContenderSpec(
            name="polyhead",
            dtype="bfloat16",
            device=runner.device.partition(":")[0],
            cores=tuple(sorted(os.sched_getaffinity(0))),
            model=model,
            max_new_tokens=workload.max_new_tokens,
        )
        weights = model.load()
        self._digest = digest(weights)
        self._contender = PolyheadContender(self.spec, weights, runners=[runner])

    def wait_until_ready(self) -> str | None:
        """The digest of its weights."""
        return self._digest

    def cpu_seconds(self) -> float:
        """CPU time of this process so far."""
        return time.process_time()

    def drain_steps(self) -> list[StepStats]:
        """The steps of the last call."""
        return self._contender.engine.drain_steps()

    def close(self, *, at_once: bool = False) -> None:
        """Ends the engine and its runner."""
        self._contender.close()

    def _ask(self, name: str, *arguments: object, within: float = 0.0) -> Any:
        self.drain_steps()
        with _without_gc():
            return obey(self._contender, name, arguments)


@contextmanager
def _without_gc() -> Iterator[None]:
    """Keeps Python from looking for cycles in tens of thousands of queued sequences.

    That takes twice as long as the engine's own work on them. A service has shorter queues.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def measure_throughput(
    make: Maker,
    figures: Figures,
    model: BenchModel,
    *,
    slots: tuple[int, ...] = (1024, 2048),
    count: int = 16_384,
) -> None:
    """Everything queued at once; before that, the runner without an engine around it.

    Args:
        slots: hypotheses that run at the same time.
        count: sentences of a round.
    """
    workload = draw_workload(model, TextFile(), count=count, seed=0)
    best: dict[Search, float] = dict.fromkeys(Search, 0.0)
    for max_slots in slots:
        runner = make(model.load(), dtype=torch.bfloat16, max_slots=max_slots)
        for search in Search:
            _measure_runner(runner, figures, workload, search)
        worker = DeviceWorker(runner, model, workload)
        with Field([worker], weights_digest=None) as field:
            for search in Search:
                options = BenchOptions(regimes=(Regime.THROUGHPUT,), searches=(search,))
                [found] = measure_regimes(field, workload, options)
                rates = found.figures["tokens_per_second"]
                name = f"throughput_beam{search.beam_size}_slots{max_slots}"
                figures.record(f"{name}_tokens_per_second", rates.median)
                figures.record(f"{name}_slowest_round", rates.min)
                last_round = (found.output_tokens or 0) / rates.rounds[-1]
                _record_steps(figures, name, worker.drain_steps(), seconds=last_round)
                best[search] = max(best[search], rates.median)
    for search, rate in best.items():
        figures.record(f"throughput_beam{search.beam_size}_tokens_per_second", rate)


def measure_alone(make: Maker, figures: Figures, model: BenchModel, *, count: int = 40) -> None:
    """One sentence, submitted when the last one is done."""
    options = BenchOptions(regimes=(Regime.LATENCY,), rounds=1, latency_sentences=count)
    with _opened(make, model, slots=16, count=count, seed=1) as (field, workload):
        for found in measure_regimes(field, workload, options):
            for name, spread in found.figures.items():
                figures.record(f"alone_beam{found.search.beam_size}_{name}", spread.median)


def measure_online(
    make: Maker,
    figures: Figures,
    model: BenchModel,
    *,
    slots: int = 1024,
    seconds: float = 4.0,
    count: int = 4096,
) -> None:
    """Poisson arrivals at shares of what the engine can do, as far as one sender can send."""
    options = BenchOptions(regimes=(Regime.THROUGHPUT, Regime.ONLINE), rounds=1, seconds=seconds)
    with _opened(make, model, slots=slots, count=count, seed=2) as (field, workload):
        for found in measure_regimes(field, workload, options):
            name = f"online_beam{found.search.beam_size}"
            if found.load is None:
                capacity = found.figures["sentences_per_second"].median
                figures.record(f"{name}_capacity_per_second", capacity)
                continue
            name += f"_load{found.load.split()[0]}"
            figures.record(f"{name}_per_second", found.setup["requests_per_second"])
            for percentile, spread in found.figures.items():
                figures.record(f"{name}_{percentile}", spread.median)


@contextmanager
def _opened(
    make: Maker, model: BenchModel, *, slots: int, count: int, seed: int
) -> Iterator[tuple[Field, Workload]]:
    workload = draw_workload(model, TextFile(), count=count, seed=seed)
    runner = make(model.load(), dtype=torch.bfloat16, max_slots=slots)
    with Field([DeviceWorker(runner, model, workload)], weights_digest=None) as field:
        yield field, workload


def _record_steps(
    figures: Figures, name: str, steps: Sequence[StepStats], *, seconds: float
) -> None:
    num_steps = sum(step.steps for step in steps) or 1
    decoding = sum(step.decode_seconds for step in steps)
    encoding = sum(step.encode_seconds for step in steps)
    figures.record(f"{name}_rows_per_step", sum(step.rows for step in steps) / num_steps)
    figures.record(f"{name}_us_per_step", decoding / num_steps * 1e6)
    figures.record(f"{name}_encoder_share", encoding / ((encoding + decoding) or 1.0))
    # Below one, the device waits for the host.
    figures.record(f"{name}_device_busy", (encoding + decoding) / seconds)


def _measure_runner(
    runner: CudaRunner, figures: Figures, workload: Workload, search: Search
) -> None:
    name = f"runner_alone_beam{search.beam_size}_slots{runner.max_slots}"
    config, positions = generation(search), runner.model_config.max_positions
    drive(runner, sequences(workload.sources[:512], config, positions))
    wanted = sequences(workload.sources, config, positions)
    with _without_gc():
        started = time.perf_counter()
        found = drive(runner, wanted)
        seconds = time.perf_counter() - started
    lengths = [len(hypotheses[0].token_ids) + 1 for hypotheses in found]
    figures.record(f"{name}_tokens_per_second", sum(lengths) / seconds)
    if workload.planned:
        kept = [a == b for a, b in zip(workload.planned, lengths, strict=True)]
        figures.record(f"{name}_lengths_as_planned", sum(kept) / len(kept))
    profile = cProfile.Profile()
    wanted = sequences(workload.sources[: len(workload.sources) // 4], config, positions)
    profile.runcall(drive, runner, wanted)
    output = io.StringIO()
    pstats.Stats(profile, stream=output).sort_stats("tottime").print_stats(10)
    print(f"{name}: the host's time\n{output.getvalue()[-2500:]}", flush=True)
