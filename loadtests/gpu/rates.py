"""Everything at once, one alone, and whenever they come: through the engine, encoder included."""

from __future__ import annotations

import cProfile
import gc
import io
import pstats
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial

import torch

from loadtests.bench.arrivals import submit_on_time
from loadtests.bench.figures import percentile
from loadtests.bench.models import BenchModel
from loadtests.bench.workload import TextFile, draw_workload, poisson_arrivals
from loadtests.gpu.figures import Figures
from loadtests.gpu.runners import Maker, drive, search, sequences
from model.config import EngineConfig, GenerationConfig
from model.engine.cuda.runner import CudaRunner
from model.engine.engine import Engine
from model.engine.sequence import SequenceResult

__all__ = ["measure_alone", "measure_online", "measure_throughput", "opened", "without_gc"]

_ROUNDS = 3
_LOADS = (0.25, 0.5, 0.8)
_MOST_ARRIVALS = 8000.0
"""A second: more than that the sender itself, in the same process, would not keep up with."""
_MAX_WAITING = 1_000_000


@contextmanager
def opened(runner: CudaRunner, model: BenchModel) -> Iterator[Engine]:
    """An engine around a runner."""
    config = EngineConfig(max_slots=runner.max_slots, max_waiting=_MAX_WAITING)
    engine = Engine(model.load(), config, runners=[runner])
    try:
        yield engine
    finally:
        engine.close()


@contextmanager
def without_gc() -> Iterator[None]:
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
    """Greedy and beams of four, all queued at once; then the runner without an engine around it.

    Args:
        slots: hypotheses that run at the same time.
        count: sentences of a greedy round; a third as many for beams.
    """
    workload = draw_workload(model, TextFile(), count=count, seed=0)
    best: dict[int, float] = {}
    planned = dict(zip(workload.sources, workload.planned or (), strict=False))
    for max_slots in slots:
        runner = make(model.load(), dtype=torch.bfloat16, max_slots=max_slots)
        for beams in (1, 4):
            sources = workload.sources[: count if beams == 1 else count // 3]
            _runner_alone(runner, figures, sources, beams, planned)
        with opened(runner, model) as engine:
            for beams in (1, 4):
                sources = workload.sources[: count if beams == 1 else count // 3]
                generation = search(beams, workload.max_new_tokens)
                name = f"beam{beams}_slots{max_slots}"
                rate = _flood(engine, figures, name, generation, sources)
                best[beams] = max(best.get(beams, 0.0), rate)
    for beams, rate in best.items():
        figures.record(f"throughput_beam{beams}_tokens_per_second", rate)


def _flood(
    engine: Engine,
    figures: Figures,
    name: str,
    generation: GenerationConfig,
    sources: Sequence[Sequence[int]],
) -> float:
    """Gives the median rate."""
    rates, wall = [], 0.0
    engine.drain_steps()
    for _ in range(_ROUNDS):
        with without_gc():
            started = time.perf_counter()
            results = [future.result() for future in engine.submit(sources, generation)]
            seconds = time.perf_counter() - started
        wall += seconds
        rates.append(sum(result.target_tokens for result in results) / seconds)
    figures.record(f"throughput_{name}_tokens_per_second", statistics.median(rates))
    figures.record(f"throughput_{name}_slowest_round", min(rates))
    steps = engine.drain_steps()
    num_steps = sum(step.steps for step in steps) or 1
    figures.record(f"throughput_{name}_rows_per_step", sum(s.rows for s in steps) / num_steps)
    decoding = sum(step.decode_seconds for step in steps)
    figures.record(f"throughput_{name}_us_per_step", decoding / num_steps * 1e6)
    encoding = sum(step.encode_seconds for step in steps)
    figures.record(f"throughput_{name}_encoder_share", encoding / ((encoding + decoding) or 1.0))
    # Below one, the device waits for the host.
    figures.record(f"throughput_{name}_device_busy", (encoding + decoding) / wall)
    return statistics.median(rates)


def _runner_alone(
    runner: CudaRunner,
    figures: Figures,
    sources: Sequence[tuple[int, ...]],
    beams: int,
    planned: dict[tuple[int, ...], int],
) -> None:
    name = f"runner_alone_beam{beams}_slots{runner.max_slots}"
    generation = search(beams)
    positions = runner.model_config.max_positions
    drive(runner, sequences(sources[:512], generation, positions))
    wanted = sequences(sources, generation, positions)
    with without_gc():
        started = time.perf_counter()
        found = drive(runner, wanted)
        seconds = time.perf_counter() - started
    lengths = [len(hypotheses[0].token_ids) + 1 for hypotheses in found]
    figures.record(f"{name}_tokens_per_second", sum(lengths) / seconds)
    if planned:
        kept = [planned[source] == found for source, found in zip(sources, lengths, strict=True)]
        figures.record(f"{name}_lengths_as_planned", sum(kept) / len(kept))
    profile = cProfile.Profile()
    wanted = sequences(sources[: len(sources) // 4], generation, positions)
    profile.runcall(drive, runner, wanted)
    shown = io.StringIO()
    pstats.Stats(profile, stream=shown).sort_stats("tottime").print_stats(10)
    print(f"{name}: the host's time\n{shown.getvalue()[-2500:]}", flush=True)


def measure_alone(make: Maker, figures: Figures, model: BenchModel, *, count: int = 40) -> None:
    """One sentence, submitted when the last one is done."""
    workload = draw_workload(model, TextFile(), count=count, seed=1)
    runner = make(model.load(), dtype=torch.bfloat16, max_slots=16)
    with opened(runner, model) as engine:
        for beams in (1, 4):
            generation = search(beams, workload.max_new_tokens)
            seconds, tokens = [], []
            warm_up = workload.sources[:5]
            for source in (*warm_up, *workload.sources):
                started = time.perf_counter()
                result = engine.submit([source], generation)[0].result()
                seconds.append(time.perf_counter() - started)
                tokens.append(result.target_tokens)
            seconds, tokens = seconds[len(warm_up) :], tokens[len(warm_up) :]
            figures.record(f"alone_beam{beams}_p50_ms", percentile(seconds, 0.5) * 1e3)
            figures.record(f"alone_beam{beams}_p95_ms", percentile(seconds, 0.95) * 1e3)
            each = sum(seconds) / sum(tokens)
            figures.record(f"alone_beam{beams}_us_per_token", each * 1e6)


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
    workload = draw_workload(model, TextFile(), count=count, seed=2)
    runner = make(model.load(), dtype=torch.bfloat16, max_slots=slots)
    with opened(runner, model) as engine:
        for beams in (1, 4):
            generation = search(beams, workload.max_new_tokens)
            capacity = _capacity(engine, workload.sources, generation)
            figures.record(f"online_beam{beams}_capacity_per_second", capacity)
            for share in _LOADS:
                rate = min(share * capacity, _MOST_ARRIVALS)
                arrivals = poisson_arrivals(rate, seconds, seed=f"{beams} {share}")
                with without_gc():
                    latencies = _serve(engine, workload.sources, generation, arrivals)
                name = f"online_beam{beams}_load{share:.0%}"
                figures.record(f"{name}_per_second", rate)
                figures.record(f"{name}_p50_ms", percentile(latencies, 0.5) * 1e3)
                figures.record(f"{name}_p95_ms", percentile(latencies, 0.95) * 1e3)


def _capacity(
    engine: Engine, sources: Sequence[Sequence[int]], generation: GenerationConfig
) -> float:
    started = time.perf_counter()
    for future in engine.submit(sources, generation):
        future.result()
    return len(sources) / (time.perf_counter() - started)


def _serve(
    engine: Engine,
    sources: Sequence[Sequence[int]],
    generation: GenerationConfig,
    arrivals: Sequence[float],
) -> list[float]:
    """Seconds from each scheduled arrival to its result."""
    finished = [0.0] * len(arrivals)
    futures: list[Future[SequenceResult]] = []

    def finish(index: int, _: Future[SequenceResult]) -> None:
        finished[index] = time.perf_counter()

    def submit(index: int) -> None:
        [future] = engine.submit([sources[index % len(sources)]], generation)
        future.add_done_callback(partial(finish, index))
        futures.append(future)

    start = submit_on_time(arrivals, submit)
    for future in futures:
        future.result()
    return [end - start - arrival for end, arrival in zip(finished, arrivals, strict=True)]
