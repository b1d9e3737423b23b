"""`python -m loadtests.gpu.host`: what the host allows, beside a device that takes no time.

Sentences go through the CUDA runner, alone and inside an engine, while `PlannedSearches` plays the
device. What playing it costs is not counted, on the clock neither. With `--step-us` it takes its
time, and the share of the time is told in which it had work.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch

from loadtests.bench.machine import commit, read_hardware, versions
from loadtests.gpu.simulated_device import ImmediateStream, PlannedSearches
from loadtests.report import as_table
from model.config import EngineConfig, GenerationConfig, TransformerConfig
from model.decoding.token_ids import packed_ids
from model.engine.cpus import granted_cpus
from model.engine.cuda.runner import CudaRunner
from model.engine.engine import Engine
from model.engine.futures import results
from model.engine.result_future import ResultFuture, call_when_settled
from model.engine.scheduler import FairShare, Scheduler
from model.engine.sequence import Sequence, SequenceResult
from model.engine.waiting import WaitingQueue
from model.network.transformer import Transformer

__all__ = ["HostFigures", "Load", "measure_engine", "measure_runner"]

_VOCABULARY = 32_000
_SHORTEST, _LONGEST = 5, 45
"""Tokens of sources and, independently, of targets."""
_AT_ONCE = 32
"""Sources of one request."""
_COLLECT_AFTER_OBJECTS = 10_000
_OPEN_REQUESTS = 256
"""Requests that have been submitted and not been answered: somebody always waits."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What goes through a device, and how long it takes that."""

    beams: int
    sentences: int
    slots: int = 1024
    step_seconds: float = 0.0
    token_seconds: float = 0.0
    call_seconds: float = 0.0
    mark_seconds: float = 0.0


class HostFigures(NamedTuple):
    """What came of it."""

    tokens: int
    """Those of the best hypotheses, end tokens included."""
    cpu_seconds: float
    """CPU time of all threads of this process, without playing the device."""
    seconds: float
    busy_share: float
    """Share of the time in which the simulated device works."""
    steps: int
    """Steps of the device: it starves where one takes it less time than the host."""


def measure_runner(load: Load) -> HostFigures:
    """The runner, with a scheduler: sequences are there from the start."""
    runner, stream = _runner(load)
    queue = WaitingQueue(load.sentences)
    sequences = [
        Sequence(source=packed_ids(source), generation=search, max_new_tokens=limit, arrived_at=0.0)
        for source, search, limit in _drawn(load)
    ]
    queue.add(sequences)
    scheduler = Scheduler(max_slots=load.slots, can_pause=False)
    tokens = 0
    with closing(runner), _measured(stream) as figures:
        share = FairShare(light=load.slots, heavy=load.slots)
        while plan := scheduler.schedule(queue, share, time.monotonic()):
            outcome = runner.execute(plan)
            for pending in outcome.pending:
                scheduler.finish_all(pending.sequences)
                for hypotheses in pending.wait().hypotheses:
                    tokens += hypotheses[0].num_tokens + 1
    return HostFigures(tokens, *figures)


def measure_engine(load: Load) -> HostFigures:
    """An engine with this runner, to which requests are submitted as others are answered."""
    runner, stream = _runner(load)
    config = EngineConfig(max_waiting=2 * _OPEN_REQUESTS * _AT_ONCE)
    drawn = list(_drawn(load))
    requests = [drawn[first : first + _AT_ONCE] for first in range(0, len(drawn), _AT_ONCE)]
    open_requests: deque[_Request] = deque()
    tokens = 0
    engine = Engine(_transformer(), config, runners=[runner])
    with closing(engine), _measured(stream) as figures:
        for request in requests:
            if len(open_requests) == _OPEN_REQUESTS:
                tokens += open_requests.popleft().tokens()
            sources = [source for source, _, _ in request]
            searches = [search for _, search, _ in request]
            open_requests.append(_Request(engine.submit(sources, searches)))
        tokens += sum(request.tokens() for request in open_requests)
    return HostFigures(tokens, *figures)


class _Request:
    """Who waits for all futures of a request together, as a translator does."""

    def __init__(self, futures: list[ResultFuture[SequenceResult]]) -> None:
        self._futures = futures
        self._done = threading.Event()
        call_when_settled(futures, self._done.set)

    def tokens(self) -> int:
        self._done.wait()
        return sum([result.target_tokens for result in results(self._futures)])


@contextmanager
def _measured(stream: ImmediateStream) -> Iterator[list[Any]]:
    """All but the first of HostFigures, once it is left."""
    figures: list[Any] = []
    gc.collect()
    gc.freeze()  # as replicas do when they have loaded a model, and this as well
    gc.set_threshold(_COLLECT_AFTER_OBJECTS)
    stream.reset()
    began, cpu_began = stream.now(), time.process_time()
    yield figures
    figures.append(time.process_time() - cpu_began - stream.cpu_seconds)
    figures.append(stream.now() - began)
    figures.append(stream.busy_share)
    figures.append(stream.num_steps)


def _transformer() -> Transformer:
    shape = {"d_model": 4, "d_ff": 4, "num_heads": 1}
    layers = {"num_encoder_layers": 1, "num_decoder_layers": 1}
    return Transformer(TransformerConfig.base(_VOCABULARY, max_positions=256, **shape, **layers))


def _runner(load: Load) -> tuple[CudaRunner, ImmediateStream]:
    stream = ImmediateStream(call_seconds=load.call_seconds, mark_seconds=load.mark_seconds)
    runner = CudaRunner(
        _transformer(),
        device=stream.device,
        dtype=torch.float32,
        max_slots=load.slots,
        stream=stream,
        program=partial(
            PlannedSearches,
            stream=stream,
            beams=load.beams,
            step_seconds=load.step_seconds,
            token_seconds=load.token_seconds,
        ),
        beams=(load.beams,),
    )
    runner.device = "simulated"  # an engine has the threads of a CPU take turns
    return runner, stream


def _drawn(load: Load) -> Iterator[tuple[list[int], GenerationConfig, int]]:
    """Sources, the searches for their targets, and the lengths of these."""
    generator = random.Random(0)
    searches = {
        limit: GenerationConfig(beam_size=load.beams, max_new_tokens=limit)
        for limit in range(_SHORTEST, _LONGEST + 1)
    }
    for _ in range(load.sentences):
        length, limit = (generator.randint(_SHORTEST, _LONGEST) for _ in range(2))
        source = [*(generator.randrange(4, _VOCABULARY) for _ in range(length - 1)), 2]
        yield source, searches[limit], limit


def main() -> int:
    """Returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.gpu.host", description=__doc__)
    parser.add_argument("--sentences", type=int, default=16_384)
    parser.add_argument("--slots", type=int, default=1024)
    parser.add_argument("--step-us", type=float, default=0.0, help="of the device, for each step")
    parser.add_argument("--token-ns", type=float, default=0.0, help="for each token it encodes")
    parser.add_argument("--call-us", type=float, default=0.0, help="of the host, for each call")
    parser.add_argument("--mark-us", type=float, default=0.0, help="of the device, for each mark")
    parser.add_argument("--beams", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--rounds", type=int, default=3, help="the best one counts")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows, figures = [], {}
    for beams in arguments.beams:
        load = Load(
            beams=beams,
            sentences=arguments.sentences,
            slots=arguments.slots,
            step_seconds=arguments.step_us * 1e-6,
            token_seconds=arguments.token_ns * 1e-9,
            call_seconds=arguments.call_us * 1e-6,
            mark_seconds=arguments.mark_us * 1e-6,
        )
        for name, measure in (("runner", measure_runner), ("engine", measure_engine)):
            rounds = [measure(load) for _ in range(arguments.rounds)]
            best = min(rounds, key=lambda each: each.cpu_seconds / each.tokens)
            rows.append([f"{name}, beam {beams}", *_cells(best, load)])
            figures[f"host_{name}_beam{beams}"] = {
                "tokens_per_cpu_second": round(best.tokens / best.cpu_seconds),
                "tokens_per_second": round(best.tokens / best.seconds),
                "busy_share": round(best.busy_share, 4),
                "cpu_us_per_step": round(1e6 * best.cpu_seconds / best.steps, 1),
            }
    headings = ["", "tokens/CPU s", "CPU us/sentence", "CPU us/step", "tokens/s", "device busy"]
    print(as_table((headings, rows)))
    hardware = read_hardware(range(granted_cpus()), "cpu")
    environment = {"cpu": hardware["cpu"], "versions": versions(), "commit": commit()}
    print(json.dumps({"load": vars(arguments), "figures": figures} | environment))
    return 0


def _cells(figures: HostFigures, load: Load) -> list[str]:
    return [
        f"{figures.tokens / figures.cpu_seconds:,.0f}",
        f"{1e6 * figures.cpu_seconds / load.sentences:.1f}",
        f"{1e6 * figures.cpu_seconds / figures.steps:.0f}",
        f"{figures.tokens / figures.seconds:,.0f}",
        f"{figures.busy_share:.1%}",
    ]


if __name__ == "__main__":
    sys.exit(main())
